"""The model store on disk: blobs by digest, manifests by name, the manifest always last."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import time
from dataclasses import dataclass
from typing import Any

from . import gguf, log
from .names import LabName, parse

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.ollama.image."
_WORDS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.ENOENT: "no such file or directory",
    errno.ENOTDIR: "not a directory",
    errno.ENOSPC: "no space left on device",
    errno.EROFS: "read-only file system",
    errno.EISDIR: "is a directory",
}


class StoreError(Exception):
    """Trouble with the store in the words of the real server."""


def go_error(verb: str, path: str, error: OSError) -> StoreError:
    words = _WORDS.get(error.errno or 0, os.strerror(error.errno or 0).lower())
    return StoreError(f"{verb} {path}: {words}")


@dataclass(frozen=True)
class LabModel:
    name: LabName
    digest: str
    manifest: dict[str, Any]
    config: dict[str, Any]
    modified: float

    @property
    def size(self) -> int:
        return sum(item["size"] for item in (self.manifest["config"], *self.manifest["layers"]))

    def layer(self, kind: str) -> dict[str, Any] | None:
        for layer in self.manifest["layers"]:
            if layer["mediaType"] == LAYER_TYPE + kind:
                return dict(layer)
        return None

    @property
    def details(self) -> dict[str, Any]:
        config = self.config
        return {
            "parent_model": "",
            "format": config.get("model_format", ""),
            "family": config.get("model_family", ""),
            "families": config.get("model_families"),
            "parameter_size": config.get("model_type", ""),
            "quantization_level": config.get("file_type", ""),
        }


class LabStore:
    def __init__(self, root: str) -> None:
        self.root = root
        self.blobs = os.path.join(root, "blobs")
        self.manifests = os.path.join(root, "manifests")

    def prepare(self) -> None:
        for path in (self.root, self.blobs, self.manifests):
            try:
                os.makedirs(path, exist_ok=True)
            except FileExistsError as error:
                words = OSError(errno.ENOTDIR, "", error.filename)
                raise StoreError(f"{go_error('mkdir', path, words)}: ensure path elements are traversable") from None
            except OSError as error:
                failed = str(error.filename or path)
                raise StoreError(f"{go_error('mkdir', failed, error)}: ensure path elements are traversable") from None

    def blob(self, digest: str) -> str:
        return os.path.join(self.blobs, "sha256-" + digest.replace("-", ":").split(":", 1)[1])

    def manifest_path(self, name: LabName) -> str:
        return os.path.join(self.manifests, name.path)

    def names(self) -> list[LabName]:
        found = []
        for path in glob.glob(os.path.join(glob.escape(self.manifests), "*", "*", "*", "*")):
            host, namespace, model, tag = path.split(os.sep)[-4:]
            if os.path.isfile(path):
                found.append(LabName(host, namespace, model, tag))
        return found

    def existing(self, name: LabName) -> LabName:
        """Lookup is case-insensitive and an existing spelling wins."""
        for known in self.names():
            if known.full.lower() == name.full.lower():
                return known
        return name

    def read(self, name: LabName) -> tuple[bytes, dict[str, Any]]:
        """The manifest as it lies there. OSError when there is none, StoreError when it is damaged."""
        with open(self.manifest_path(name), "rb") as file:
            data = file.read()
        try:
            manifest = json.loads(data)
            if not (isinstance(manifest, dict) and "config" in manifest and "layers" in manifest):
                raise StoreError("unexpected EOF")
        except ValueError:
            raise StoreError("unexpected EOF" if data else "EOF") from None
        return data, manifest

    def model(self, name: LabName) -> LabModel:
        """Manifest and config; OSError when one is missing, StoreError when one is damaged."""
        data, manifest = self.read(name)
        with open(self.blob(manifest["config"]["digest"]), "rb") as file:
            text = file.read()
        try:
            config = json.loads(text)
        except ValueError:
            raise StoreError("invalid character in the config blob") from None
        modified = os.stat(self.manifest_path(name)).st_mtime
        return LabModel(name, hashlib.sha256(data).hexdigest(), manifest, config, modified)

    def models(self) -> list[LabModel]:
        """Newest first, as /api/tags lists them; damaged manifests are left out with a warning."""
        found = []
        for name in self.names():
            try:
                found.append(self.model(name))
            except StoreError as error:
                log.slog("WARN", "manifest.go:218", "bad manifest", name=name.full, error=error)
            except OSError as error:
                log.slog("WARN", "routes.go:1416", "bad manifest filepath", name=name.full, error=error)
        return sorted(found, key=lambda model: -model.modified)

    def header(self, model: LabModel) -> gguf.LabHeader | None:
        """The GGUF header of the weights, None where the model has none."""
        layer = model.layer("model")
        return gguf.read(self.blob(layer["digest"])) if layer else None

    def text(self, model: LabModel, kind: str) -> str:
        layer = model.layer(kind)
        if not layer:
            return ""
        with open(self.blob(layer["digest"]), encoding="utf-8") as file:
            return file.read()

    def write_manifest(self, name: LabName, data: bytes) -> None:
        path = self.manifest_path(name)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        except OSError as error:
            raise go_error("mkdir", str(error.filename or path), error) from None
        try:
            with open(path, "wb") as file:
                file.write(data)
        except OSError as error:
            raise go_error("open", path, error) from None

    def add(self, data: bytes, media: str) -> tuple[dict[str, Any], bool]:
        """A layer of these bytes, and whether it was new."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        layer = {"mediaType": media, "digest": digest, "size": len(data)}
        if os.path.exists(self.blob(digest)):
            return layer, False
        self.put(data, digest)
        return layer, True

    def put(self, data: bytes, digest: str) -> None:
        temporary = os.path.join(self.blobs, f"sha256-{time.monotonic_ns() % 10**10}")
        try:
            with open(temporary, "wb") as file:
                file.write(data)
            os.rename(temporary, self.blob(digest))
        except OSError as error:
            raise go_error("open" if error.errno == errno.EACCES else "write", temporary, error) from None

    def copy(self, source: LabName, destination: LabName) -> None:
        data, _ = self.read(source)
        self.write_manifest(destination, data)

    def delete(self, name: LabName) -> None:
        _, manifest = self.read(name)
        path = self.manifest_path(name)
        try:
            os.remove(path)
        except OSError as error:
            raise go_error("remove", path, error) from None
        self._remove_empty(os.path.dirname(path))
        used = self.used()
        for item in (manifest["config"], *manifest["layers"]):
            if item["digest"] not in used and os.path.exists(self.blob(item["digest"])):
                os.remove(self.blob(item["digest"]))

    def _remove_empty(self, directory: str) -> None:
        while directory != self.manifests and not os.listdir(directory):
            os.rmdir(directory)
            directory = os.path.dirname(directory)

    def used(self, *, damaged: bool = True) -> set[str]:
        """Digests that manifests name. StoreError for a damaged one, unless `damaged` lets it pass."""
        found: set[str] = set()
        for name in self.names():
            try:
                _, manifest = self.read(name)
            except StoreError:
                if damaged:
                    continue
                raise
            found.update(item["digest"] for item in (manifest["config"], *manifest["layers"]))
        return found

    def prune(self) -> None:
        """At the start: blobs of no manifest and partial downloads go, once they are an hour old."""
        try:
            used = {"sha256-" + digest.split(":", 1)[1] for digest in self.used(damaged=False)}
        except StoreError as error:
            text = "corrupt manifests detected, skipping prune operation.  Re-pull or delete to clear"
            log.slog("WARN", "routes.go:1965", text, error=error)
            return
        unused = [name for name in os.listdir(self.blobs) if name not in used]
        old = [name for name in unused if time.time() - os.stat(os.path.join(self.blobs, name)).st_mtime >= 3600]
        for name in old:
            os.remove(os.path.join(self.blobs, name))
        log.slog("INFO", "images.go:919", f"total blobs: {len(unused)}")
        log.slog("INFO", "images.go:926", f"total unused blobs removed: {len(old)}")


def resolve(store: LabStore, text: str) -> LabName | None:
    name = parse(text)
    return store.existing(name) if name else None
