"""Draws the README's pictures from a real run in a terminal: `python docs/pictures/draw.py` in a checkout.

The lab must be down before; it is up afterwards. The pictures hold what was printed, nothing else; that of the web page
is a photograph by chromium.
"""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import tempfile
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


def reaper(*words: str) -> str:
    """Standard output; a sick fleet's exit code is no trouble here."""
    argv = [sys.executable, "-m", "reaper_ops", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def photograph(name: str) -> None:
    """The web page of the lab, with a trend of three reports: a GPU host that did not answer, and does again."""
    fleet = ("-i", "inventories/lab")
    with tempfile.TemporaryDirectory() as directory:
        kept = [Path(directory) / f"{number}.json" for number in range(2)]
        for path, words in zip(kept, (("break", "lab-gpu", "drop"), ("heal", "lab-gpu")), strict=True):
            reaper("lab", *words)
            path.write_text(reaper("probe", *fleet, "-o", "json"))
        page = Path(directory) / "page.html"
        reaper("report", *fleet, "--html", str(page), *(word for path in kept for word in ("--from", str(path))))
        shot = [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=1000,1480",
        ]
        shot += [
            "--window-size=1000,1480",
            "--blink-settings=preferredColorScheme=1",
            f"--screenshot={HERE / name}.png",
            page.as_uri(),
        ]
        subprocess.run(shot, capture_output=True, check=True, timeout=120)


def main() -> None:
    os.environ.update(COLUMNS=str(COLUMNS), TERM="xterm-256color")
    for name, words in RUNS.items():
        draw(name, f"reaper-ops {' '.join(words)}", last_screen(captured(words)))
    photograph("report")


if __name__ == "__main__":
    main()
