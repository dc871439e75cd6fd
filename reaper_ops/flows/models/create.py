"""`models create`: a model of a local GGUF file, made once, so that every host gets the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reaper_ops.adapters import lockfile, pack, pack_writer
from reaper_ops.adapters.ansible import OnEvent
from reaper_ops.adapters.pack_sources import Fetch
from reaper_ops.adapters.registry import RegistryError, RegistryManifest
from reaper_ops.core import values
from reaper_ops.core.models import gguf_header, modelfile, names
from reaper_ops.core.models.lock import MADE, Lock, from_manifest
from reaper_ops.core.models.modelfile import BuiltModel, ModelPart
from reaper_ops.core.models.names import ModelName
from reaper_ops.errors import ReaperError
from reaper_ops.flows.models.bundle import Made, made, now
from reaper_ops.flows.models.progress_events import ByteProgress

PIECE = 1 << 20


class _Here:
    """The files of a model on this machine, as a registry would give them."""

    def __init__(self, model: BuiltModel) -> None:
        self.model = model

    def manifest(self, name: ModelName) -> RegistryManifest:
        data = self.model.manifest
        return RegistryManifest(name.full, data, f"sha256:{hashlib.sha256(data).hexdigest()}")

    @contextmanager
    def blob(self, name: ModelName, digest: str, start: int = 0) -> Iterator[Iterator[bytes]]:
        if digest in self.model.texts:
            yield iter([self.model.texts[digest][start:]])
            return
        path = Path(self.model.files[digest])
        try:
            file = path.open("rb")
        except OSError as error:
            raise RegistryError(str(path), f"cannot be read ({error.strerror})", "check the file", 404) from None
        with file:
            file.seek(start)
            yield iter(lambda: file.read(PIECE), b"")


def create(
    name: str, source: Path, place: Path, *, lock_path: Path | None = None, on_event: OnEvent | None = None
) -> tuple[Made, tuple[str, ...]]:
    """Writes the model as a bundle, and into the lock; with notes for a person."""
    whole = _named(name)
    parsed = modelfile.parse(_text(source), str(source))
    files = tuple(_file(source, path) for path in parsed.files)
    adapters = tuple(_file(source, path) for path in parsed.adapters)
    model = modelfile.build(parsed, files, adapters, str(source))
    here = _Here(model)
    found = here.manifest(names.split(whole))
    entry = from_manifest(whole, found.data, found.digest, f"{MADE}{source.name}", now())
    lock = Lock((entry,))
    _free(place, whole)
    writer = pack_writer.writer(place, lock, {entry.name: found.data}, now())
    fetch = Fetch(writer, ByteProgress(place.name, "writing", lock, on_event))
    for digest, size in entry.blobs.items():
        fetch(here, names.split(whole), digest, size)
    with pack_writer.on_disk(place):
        writer.finish()
    if lock_path is not None:
        lockfile.write(lock_path, (lockfile.read(lock_path) or Lock()).with_models([entry]))
    return made(place, lock), _notes(parsed.texts.keys() >= {"template"}, files)


def _notes(has_template: bool, files: tuple[ModelPart, ...]) -> tuple[str, ...]:
    if has_template or not any(one.header.has_template for one in files):
        return ()
    return ("no TEMPLATE: the chat template inside the GGUF is not translated; write one, or test with /api/chat",)


def _named(name: str) -> str:
    try:
        if name.startswith("@"):
            raise ValueError("is the name of a set; a model has one of its own")
        return names.canonical(values.model_name(name))
    except ValueError as error:
        raise ReaperError(name, str(error)) from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReaperError(str(path), f"cannot be read ({error})", "name the Modelfile by -f") from None


def _file(source: Path, written: str) -> ModelPart:
    """A path is taken from where the Modelfile is, as Ollama does."""
    path = source.parent / Path(written).expanduser()
    if not path.is_file():
        hint = "name a local GGUF file; a model of a registry is brought by `models pull`"
        raise ReaperError(str(source), f"{written!r} is no file", hint)
    try:
        with path.open("rb") as file:
            header = gguf_header.read(file)
            file.seek(0)
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except gguf_header.NotGguf as error:
        raise ReaperError(str(path), str(error), "convert it to GGUF first") from None
    except OSError as error:
        raise ReaperError(str(path), f"cannot be read ({error.strerror})", "check the file") from None
    return ModelPart(str(path), f"sha256:{found}", path.stat().st_size, header)


def _free(place: Path, whole: str) -> None:
    """Never writes over a bundle of other models."""
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    if (place / "reaper-bundle.json").is_file() or place.is_file():
        held = [one.name for one in pack.read(place).contents.lock.models]
        if held != [whole]:
            shown = ", ".join(names.short(name) for name in held)
            raise ReaperError(str(place), f"is a bundle of {shown}", "name a place of its own")
