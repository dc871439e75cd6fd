"""Draws the README's pictures from a real run in a terminal: `python docs/pictures/draw.py` in a checkout.

The lab must be down before; it is up afterwards. The pictures hold what was printed, nothing else.
"""

from __future__ import annotations

import io
import os
import pty
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
COLUMNS = 112
RUNS = {"up": ["lab", "up"], "probe": ["probe", "-i", "inventories/lab"]}


def captured(words: list[str]) -> str:
    """Everything that the program prints to a terminal of its own."""
    chunks: list[bytes] = []

    def read(fd: int) -> bytes:
        data = os.read(fd, 65536)
        chunks.append(data)
        return data

    pty.spawn([sys.executable, "-m", "reaper_ops", *words], read)
    return b"".join(chunks).decode(errors="replace")


def last_screen(text: str) -> str:
    """What stays on the screen: the live view clears itself, so only lines after its last erasure count."""
    for mark in ("\x1b[2K", "\x1b[1A", "\x1b[?25h"):
        text = text.rsplit(mark, 1)[-1]
    return text.replace("\r", "").strip("\n")


def draw(name: str, title: str, text: str) -> None:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text))
    console.save_svg(str(HERE / f"{name}.svg"), title=title)


def main() -> None:
    os.environ.update(COLUMNS=str(COLUMNS), TERM="xterm-256color")
    for name, words in RUNS.items():
        draw(name, f"reaper-ops {' '.join(words)}", last_screen(captured(words)))


if __name__ == "__main__":
    main()
