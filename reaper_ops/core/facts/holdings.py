"""What lies on the host: model stores, programs, libraries, and whether our own files are as we left them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts import running
from reaper_ops.core.facts.answers import Answers, Ask, as_json, decimal, mapping, text, whole
from reaper_ops.core.facts.model_store import Denied, ModelStore, PathStep, Pulled, StoredBlob, StoredManifest
from reaper_ops.core.facts.store import model_of, own_path
from reaper_ops.core.facts.traces import Binary, Drift
from reaper_ops.core.inventory.settings import Settings

OTHERS = [
    *("/usr/share/ollama/.ollama/models", "/root/.ollama/models", "/home/*/.ollama/models", "~/.ollama/models"),
    *("/var/lib/ollama/models", "/var/lib/ollama/.ollama/models", "/var/snap/ollama/common/models"),
    "/var/lib/docker/volumes/*/_data/models",
]
ROW = re.compile(
    r"^(step )?([a-z]) ([0-7]{1,6}) ([0-9]{1,10}) ([0-9]{1,10}) ([0-9]{1,18}) ([0-9]{1,12})(?:\.[0-9]*)? (/.*)$"
)
LAYER = re.compile(r"^layer (sha256-[0-9a-f]{1,128}) ([0-9]{1,18}) (/.*)$")
KEPT = re.compile(r"^kept (sha256-[0-9a-f]{1,128}) (/.*)$")
MANIFESTS = re.compile(r"/manifests(?:-v2)?/")
ODD = re.compile(r"^(absent|error \S+) (/.*)$")
MANIFEST_ERRORS = {"no_manifest": "is no manifest"}


def asks(settings: Settings) -> list[Ask]:
    process = settings.ollama_runtime == "process"
    base = places.home(settings)
    manifest = f"{places.state(settings)}/manifest.json"
    where: dict[str, Any] = {"path": own_path(settings), "others": OTHERS, "user": "ollama"}
    if settings.ollama_runtime != "docker":
        where["server"] = running.server(settings)
    found: list[Ask] = [
        {"id": "stores", "kind": "stores", **where},
        {"id": "drift", "kind": "drift", "path": manifest},
        {"id": "binaries", "kind": "binaries", "name": "ollama", "places": [f"{base}/current/bin/ollama"]},
    ]
    if settings.ollama_runtime == "docker":
        return found
    roots = [f"{base}/current"] if process else ["/opt/ollama/current", "/usr/local", "/usr"]
    return [
        *found,
        {"id": "access", "kind": "access", **where},
        {"id": "libraries", "kind": "glob", "patterns": [part for root in roots for part in _parts(root)]},
    ]


def _parts(root: str) -> list[str]:
    return [f"{root}/bin/ollama", f"{root}/lib/ollama/*", f"{root}/lib/ollama/*/*"]


def parse(answers: Answers) -> dict[str, Any]:
    now = decimal(answers.get("identity").get("time"))
    listing = answers.out("stores")
    found = stores(listing, now)
    return {
        "stores": found,
        "path_steps": path_steps(listing),
        "denied": denied(answers.out("access")),
        "drift": drift(answers.out("drift")),
        "pulls": pulls(answers.content("pulls"), now),
        "binaries": binaries(answers.out("binaries")),
        "libraries": libraries(answers),
    }


def stores(output: str | None, now: float | None) -> tuple[ModelStore, ...] | None:
    """Stores in the order of their lines; files are put to the store whose blobs/ or manifests/ they are in."""
    if output is None:
        return None
    found: dict[str, _Contents] = {}
    for line in output.splitlines():
        odd, layer, kept, row = ODD.match(line), LAYER.match(line), KEPT.match(line), ROW.match(line)
        named = odd[2] if odd else layer[3] if layer else kept[2] if kept else row[8] if row and not row[1] else ""
        path = named.rstrip("/")
        if not path:
            continue
        contents = found.setdefault(re.sub(r"/(blobs|manifests(?:-v2)?)(/.*)?$", "", path), _Contents())
        if odd:
            contents.odd(odd[1], path)
        elif layer:
            contents.layers.setdefault(path, {})[layer[1]] = int(layer[2])
        elif kept:
            contents.kept.add(kept[1])
        elif row:
            contents.row(row, path, now)
    return tuple(contents.store(path) for path, contents in found.items() if contents.is_store(path))


class _Contents:
    """One store as its lines come."""

    def __init__(self) -> None:
        self.top: tuple[int, int, str] | None = None
        self.blobs: list[StoredBlob] | None = None
        self.manifests: list[str] = []
        self.layers: dict[str, dict[str, int]] = {}
        self.errors: dict[str, str] = {}
        self.kept: set[str] = set()
        self.absent = False

    def odd(self, what: str, path: str) -> None:
        if what == "absent":
            self.absent = True
            return
        error = what.removeprefix("error ")
        self.errors[path] = MANIFEST_ERRORS.get(error, error.replace("_", " "))
        if not MANIFESTS.search(path):
            self.blobs = None

    def row(self, row: re.Match[str], path: str, now: float | None) -> None:
        if path.endswith("/blobs"):
            self.blobs = self.blobs or []
        elif "/blobs/" in path:
            age = None if now is None else max(0, int(now) - int(row[7]))
            self.blobs = [] if self.blobs is None else self.blobs
            self.blobs.append(StoredBlob(path.rpartition("/")[2], int(row[6]), age))
        elif MANIFESTS.search(path) and row[2] in "fl":
            self.manifests.append(path)
        elif "/manifests" not in path:
            self.top = (int(row[4]), int(row[5]), f"{int(row[3], 8):04o}") if row[4].isdigit() else None

    def is_store(self, path: str) -> bool:
        return self.absent or bool(self.top or self.blobs or self.manifests or self.errors)

    def store(self, path: str) -> ModelStore:
        uid, gid, mode = self.top or (None, None, "")
        known = [name for name in dict.fromkeys((*self.manifests, *self.layers)) if model_of(name)]
        manifests = tuple(
            StoredManifest(model_of(name) or name, name, self.layers.get(name, {}), self.errors.get(name, ""))
            for name in known
        )
        broken = any(not MANIFESTS.search(place) for place in self.errors)
        blobs = () if self.absent else self.blobs if self.blobs is not None else None if broken else ()
        found = None if blobs is None else tuple(blobs)
        return ModelStore(path, manifests, found, uid, gid, mode, frozenset(self.kept))


def path_steps(output: str | None) -> tuple[PathStep, ...] | None:
    rows = [row for row in map(ROW.match, (output or "").splitlines()) if row and row[1]]
    return tuple(PathStep(row[8], f"{int(row[3], 8):04o}", int(row[4]), int(row[5])) for row in rows) or None


def denied(output: str | None) -> tuple[Denied, ...] | None:
    """`need errno path` per line; an empty answer says that all is well."""
    if output is None:
        return None
    rows = re.findall(r"^(enter|read|write) (E[A-Z0-9]+|[0-9]+) (/.*)$", output, re.M)
    return tuple(Denied(path, need, error) for need, error, path in rows)


def drift(output: str | None) -> tuple[Drift, ...] | None:
    if output is None:
        return None
    return tuple(Drift(path, problem) for problem, path in re.findall(r"^(changed|missing) (\S.*)$", output, re.M))


def pulls(content: str | None, now: float | None) -> tuple[Pulled, ...] | None:
    """`{"MODEL": {"error": "", "time": SECONDS}}`, as our pulls leave it."""
    found = as_json(content)
    if not isinstance(found, dict):
        return None
    return tuple(_pulled(str(model), mapping(row), now) for model, row in found.items())


def _pulled(model: str, row: Mapping[str, Any], now: float | None) -> Pulled:
    at = whole(row.get("time"))
    return Pulled(model, text(row.get("error")) or "", None if at is None or now is None else max(0, int(now) - at))


def binaries(output: str | None) -> tuple[Binary, ...] | None:
    """`PATH<tab>words`; the client's own version stands in a warning where a server answers."""
    if output is None:
        return None
    rows = [line.partition("\t") for line in output.splitlines() if line.startswith("/")]
    return tuple(Binary(path, _version(words)) for path, _, words in rows)


def _version(words: str) -> str | None:
    match = re.search(r"client version is (\S+)", words) or re.search(r"version is (\S+)", words)
    return match[1] if match else None


def libraries(answers: Answers) -> tuple[str, ...] | None:
    """Names in lib/ollama of the first place that has a program or libraries; None where no place has."""
    rows = [str(row["path"]) for row in answers.matches("libraries") or ()]
    roots = dict.fromkeys(re.sub(r"/(bin/ollama|lib/ollama/.*)$", "", path) for path in rows)
    if not roots:
        return None
    prefix = f"{next(iter(roots))}/lib/ollama/"
    return tuple(path.removeprefix(prefix) for path in rows if path.startswith(prefix))
