"""`models.lock`: what each wanted name was at its registry, so that every host gets exactly those bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from reaper_ops.core import typed
from reaper_ops.core.models import names
from reaper_ops.errors import ReaperError

SCHEMA = "reaper-ops/models.lock/1"
DIGEST = re.compile(r"^sha256:[0-9a-f]{64}\Z")
MADE = "modelfile:"
"""Before the source of a model that was made here: no registry has it."""
AGAIN = "write it again with `reaper-ops models lock`"


@dataclass(frozen=True, order=True)
class Layer:
    """A blob of a model."""

    digest: str
    size: int
    media_type: str


@dataclass(frozen=True)
class Locked:
    """One model as its registry gave it.

    name: the whole name. digest: of the manifest's bytes, as `/api/tags` shows it after `sha256:`. layers: all blobs,
    the configuration first. source: URL of the manifest; at: when it was fetched (ISO 8601, UTC).
    """

    name: str
    digest: str
    media_type: str
    layers: tuple[Layer, ...]
    source: str
    at: str

    @cached_property
    def size(self) -> int:
        """Bytes of all blobs, each once."""
        return sum(self.blobs.values())

    @cached_property
    def blobs(self) -> dict[str, int]:
        """Sizes by digest."""
        return {layer.digest: layer.size for layer in self.layers}


@dataclass(frozen=True)
class Lock:
    models: tuple[Locked, ...] = ()

    @cached_property
    def by_key(self) -> dict[str, Locked]:
        return {names.key(one.name): one for one in self.models}

    def get(self, name: str) -> Locked | None:
        """By any form of its name."""
        return self.by_key.get(names.key(name))

    def with_models(self, models: Iterable[Locked]) -> Lock:
        """A lock in which these replace those of the same name."""
        return Lock(tuple({**self.by_key, **{names.key(one.name): one for one in models}}.values()))

    def check(self, every: Iterable[str], place: str) -> None:
        """ReaperError where it misses one of these models; place: the file that it is from."""
        missing = sorted(names.short(name) for name in every if self.get(name) is None)
        if missing:
            raise ReaperError(place, f"does not hold {', '.join(missing)}", "run `reaper-ops models lock`")

    def only(self, wanted: Iterable[str]) -> Lock:
        """Without the models that nobody wants."""
        keys = {names.key(name) for name in wanted}
        return Lock(tuple(one for one in self.models if names.key(one.name) in keys))


def dump(lock: Lock) -> str:
    """Text that changes only where a model changes: sorted by name, one field per line."""
    models = {
        one.name: {
            "digest": one.digest,
            "media_type": one.media_type,
            "size": one.size,
            "layers": [{"digest": la.digest, "size": la.size, "media_type": la.media_type} for la in one.layers],
            "source": one.source,
            "at": one.at,
        }
        for one in sorted(lock.models, key=lambda one: names.key(one.name))
    }
    return json.dumps({"schema": SCHEMA, "models": models}, indent=1) + "\n"


def parse(text: str, place: str = "models.lock") -> Lock:
    """The lock in `text`; ReaperError, with `place`, for what is none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ReaperError(place, f"is not JSON ({error})", AGAIN) from None
    schema = document.get("schema") if isinstance(document, Mapping) else None
    if schema != SCHEMA:
        raise ReaperError(place, f"has the schema {schema!r}, not {SCHEMA}", AGAIN)
    models = document.get("models")
    if not isinstance(models, Mapping):
        raise ReaperError(place, "has no models", AGAIN)
    return Lock(tuple(_model(place, str(name), entry) for name, entry in models.items()))


def _model(place: str, name: str, entry: Any) -> Locked:
    try:
        layers = tuple(Layer(la["digest"], la["size"], str(la["media_type"])) for la in entry["layers"])
        found = Locked(
            names.canonical(name),
            entry["digest"],
            str(entry["media_type"]),
            layers,
            str(entry["source"]),
            str(entry["at"]),
        )
        digests = [found.digest, *found.blobs]
        whole = all(DIGEST.match(digest) for digest in digests)
        sizes = all(typed.count(la.size) is not None for la in layers) and typed.count(found.size) is not None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReaperError(f"{place}/{name}", f"is damaged ({type(error).__name__}: {error})", AGAIN) from None
    if not (whole and sizes and layers):
        raise ReaperError(f"{place}/{name}", "has malformed digests or sizes", AGAIN)
    return found


def from_manifest(name: str, manifest: bytes, digest: str, source: str, at: str) -> Locked:
    """A registry's manifest as an entry; ReaperError when it is none."""
    try:
        rows, media_type = typed.layers(manifest)
    except typed.NoManifest:
        problem = "does not answer with a manifest"
        step = "a login page or a proxy answers in its place; open the URL and see"
        raise ReaperError(source, problem, step) from None
    except ValueError as error:
        problem = f"gives a manifest that {error}"
        raise ReaperError(source, problem, "no model is so; look at what answers there") from None
    return Locked(names.canonical(name), digest, media_type, tuple(Layer(*row) for row in rows), source, at)
