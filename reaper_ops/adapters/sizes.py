"""Asks how many bytes a download is: release archives by HEAD, models by their registry's manifest."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import httpx

from reaper_ops.adapters import fan_out, web
from reaper_ops.core import typed
from reaper_ops.core.provision.plan.download import Download

AT_ONCE = 8
TIMEOUT = httpx.Timeout(5.0)
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def look_up(downloads: Iterable[Download]) -> dict[str, int]:
    """Bytes by name. What cannot be asked from here is left out: the host may reach what the controller cannot."""
    wanted, door = list(downloads), web.Web("reaper_ops", TIMEOUT)
    try:
        found = fan_out.each(wanted, lambda download: _size(door, download), at_once=AT_ONCE)
        return {download.name: size for download, size in zip(wanted, found, strict=True) if size is not None}
    finally:
        door.close()


def is_missing(download: Download) -> bool:
    """Whether it is to come from a directory of this machine that does not have it, or not for us."""
    return download.url.startswith("/") and not (Path(download.url).is_file() and os.access(download.url, os.R_OK))


def _size(door: web.Web, download: Download) -> int | None:
    if download.url.startswith("/"):
        path = Path(download.url)
        return path.stat().st_size if path.is_file() else None
    try:
        return _manifest_size(door, download.url) if download.is_manifest else _head_size(door, download.url)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None


def _head_size(door: web.Web, url: str) -> int | None:
    answer = door.ask("HEAD", url, stores=True)
    found: int | None = typed.digits(answer.headers.get("content-length", "")) if answer.status == 200 else None
    return found


def _manifest_size(door: web.Web, url: str) -> int | None:
    answer = door.ask("GET", url, {"Accept": MANIFEST}, limit=typed.MANIFEST)
    return sum(row[1] for row in typed.layers(answer.body)[0]) if answer.status == 200 else None
