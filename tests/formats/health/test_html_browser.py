"""The web page in a real browser, without a window."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest
from html_pages import EVIL, REPORT, poisoned
from servers import http_server
from watchers import program

from reaper_ops.formats.health import as_html

SCHEMES = {"dark": ("0", "rgb(13, 17, 23)", (13, 17, 23)), "light": ("1", "rgb(255, 255, 255)", (255, 255, 255))}
WRAPPER = """<!doctype html><iframe id="f" width="{width}" height="800" style="border:0" srcdoc="{page}"></iframe>
<pre id="out"></pre><script>f.onload = () => {{
  const root = f.contentDocument.documentElement
  out.textContent = JSON.stringify({{scroll: root.scrollWidth, client: root.clientWidth, height: root.scrollHeight,
    paper: getComputedStyle(f.contentDocument.body).backgroundColor}})
}}</script>"""


def chromium(tmp_path: Path, *words: str) -> str:
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    argv = [program("chromium"), "--headless", *sandbox, "--disable-gpu", "--disable-background-networking"]
    argv += ["--no-first-run", f"--user-data-dir={tmp_path}/profile", "--hide-scrollbars", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=True)
    return done.stdout


def measured(tmp_path: Path, page: str, width: int, scheme: str) -> dict[str, Any]:
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(WRAPPER.format(width=width, page=html.escape(page)))
    words = (f"--blink-settings=preferredColorScheme={SCHEMES[scheme][0]}", "--virtual-time-budget=3000")
    dom = chromium(tmp_path, *words, "--dump-dom", wrapper.as_uri())
    found = re.search(r'<pre id="out">(\{.*?\})</pre>', dom)
    assert found, dom[-2000:]
    return dict(json.loads(found[1]))


def first_pixel(path: Path) -> tuple[int, ...]:
    """Of a PNG with eight bits a channel; its first row refers to nothing before it."""
    data = path.read_bytes()
    pieces, at = b"", 8
    while at < len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        pieces += data[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += length + 12
    return tuple(zlib.decompress(pieces)[1:4])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_phone_needs_no_scrolling_sideways(scheme: str, tmp_path: Path) -> None:
    found = measured(tmp_path, poisoned("a-very-long-name-without-a-place-to-break-it" * 9), 390, scheme)
    assert found["client"] > 370
    assert found["scroll"] <= found["client"]
    assert found["paper"] == SCHEMES[scheme][1]


def test_wide_screens_show_a_table(tmp_path: Path) -> None:
    page = as_html.page(REPORT, earlier=[REPORT])
    wide, narrow = (measured(tmp_path, page, width, "light") for width in (1100, 390))
    assert wide["scroll"] <= wide["client"]
    assert wide["height"] < narrow["height"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_both_colour_schemes_are_painted(scheme: str, tmp_path: Path) -> None:
    page, picture = tmp_path / "page.html", tmp_path / "page.png"
    page.write_text(as_html.page(REPORT))
    number, _, paper = SCHEMES[scheme]
    words = (f"--blink-settings=preferredColorScheme={number}", f"--screenshot={picture}", "--window-size=800,600")
    chromium(tmp_path, *words, page.as_uri())
    assert first_pixel(picture) == paper


def test_no_request_leaves_and_no_script_of_a_host_runs(tmp_path: Path) -> None:
    """Every request of the browser would go to a proxy of ours; its own housekeeping asks for other names."""
    page = tmp_path / "page.html"
    page.write_text(poisoned(EVIL.replace("alert(1)", "document.title='owned'")))
    with http_server({}) as proxy:
        dom = chromium(tmp_path, f"--proxy-server={proxy.url}", "--dump-dom", page.as_uri())
        asked = [path for _, path, _ in proxy.seen]
    assert not [path for path in asked if "evil" in path]
    assert "owned</title>" not in dom
    assert "<title>Ollama fleet: 2 hosts, 2 need attention</title>" in dom
