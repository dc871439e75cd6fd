"""A pull as a stream of status lines: manifest, each layer, verification, manifest last, success."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from .download import Cancelled, Downloads, sha256
from .names import LabName
from .registry_client import PullError, RegistryClient
from .store import LabStore, StoreError

_TICK = 0.06


def pull(
    store: LabStore, downloads: Downloads, name: LabName, *, insecure: bool, agent: str, noprune: bool = False
) -> Iterator[dict[str, Any]]:
    """Yields what the API streams; closing it hangs up. Raises PullError or StoreError with the server's text."""
    yield {"status": "pulling manifest"}
    registry = RegistryClient(name, insecure, agent)
    try:
        data, manifest = registry.manifest()
    except PullError as error:
        raise PullError(f"pull model manifest: {error}") from None
    old = _layers_of(store, name)
    fresh = []
    layers = [*manifest["layers"], manifest["config"]]
    for layer in layers:
        if os.path.exists(store.blob(layer["digest"])):
            yield _progress(layer["digest"], layer["size"], layer["size"])
            continue
        fresh.append(layer["digest"])
        yield from _download(downloads, registry, layer["digest"])
    yield {"status": "verifying sha256 digest"}
    for digest in fresh:
        _verify(store, digest)
    yield {"status": "writing manifest"}
    store.write_manifest(name, data)
    unused = old - {layer["digest"] for layer in layers} - store.used()
    if unused and not noprune:
        yield {"status": "removing unused layers"}
        for digest in unused:
            os.remove(store.blob(digest))
    yield {"status": "success"}


def _layers_of(store: LabStore, name: LabName) -> set[str]:
    try:
        _, manifest = store.read(name)
    except (OSError, StoreError):
        return set()
    return {item["digest"] for item in (manifest["config"], *manifest["layers"])}


def _progress(digest: str, total: int, completed: int) -> dict[str, Any]:
    line: dict[str, Any] = {"status": f"pulling {digest[7:19]}", "digest": digest}
    if total:
        line["total"] = total
    if completed:
        line["completed"] = completed
    return line


def _download(downloads: Downloads, registry: RegistryClient, digest: str) -> Iterator[dict[str, Any]]:
    download = downloads.join(registry, digest)
    try:
        while not download.done.wait(_TICK):
            yield _progress(digest, download.total, download.completed)
        if download.error:
            raise PullError(download.error)
    except Cancelled:
        raise PullError("context canceled") from None
    finally:
        downloads.leave(download)


def _verify(store: LabStore, digest: str) -> None:
    path = store.blob(digest)
    found = "sha256:" + sha256(path)
    if found != digest:
        os.remove(path)
        raise PullError(f"digest mismatch, file must be downloaded again: want {digest}, got {found}")
