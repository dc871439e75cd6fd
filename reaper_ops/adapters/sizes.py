"""Asks how many bytes a download is: release archives by HEAD, models by their registry's manifest."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from reaper_ops.core.plan.download import Download

TIMEOUT = httpx.Timeout(5.0)
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def look_up(downloads: Iterable[Download]) -> dict[str, int]:
    """Bytes by name. What cannot be asked from here is left out: the host may reach what the controller cannot."""
    wanted = list(downloads)
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client, ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda download: _size(client, download), wanted)
        return {download.name: size for download, size in zip(wanted, found, strict=True) if size is not None}


def _size(client: httpx.Client, download: Download) -> int | None:
    if download.url.startswith("/"):
        path = Path(download.url)
        return path.stat().st_size if path.is_file() else None
    try:
        return _manifest_size(client, download.url) if download.is_manifest else _head_size(client, download.url)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
        return None


def _head_size(client: httpx.Client, url: str) -> int | None:
    answer = client.head(url)
    length = answer.headers.get("content-length")
    return int(length) if answer.status_code == 200 and length else None


def _manifest_size(client: httpx.Client, url: str) -> int | None:
    answer = client.get(url, headers={"Accept": MANIFEST})
    if answer.status_code != 200:
        return None
    manifest = answer.json()
    return int(manifest["config"]["size"]) + sum(int(layer["size"]) for layer in manifest["layers"])
