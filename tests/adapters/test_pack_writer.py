"""Bundles are written so that a stopped run goes on, and nothing half-done looks whole."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from reaper_ops.adapters import pack, pack_sources
from reaper_ops.adapters.registry import Registry as Asked
from reaper_ops.core.models import names
from reaper_ops.errors import ReaperError
from reaper_ops.flows.models import bundle as models_bundle
from reaper_ops.flows.models.progress_events import ByteProgress
from reaper_ops.lab import models
from reaper_ops.lab.registry import LabRegistry
from tests import modern_store


@pytest.fixture
def registry(tmp_path):
    models.publish(tmp_path / "registry")
    found = LabRegistry(tmp_path / "registry").start()
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(pack_sources.Fetch, "rest", lambda *_: None)


def create(place: Path, registry, *wanted: str, namespace: str = "library"):
    only = tuple(f"{namespace}/{one}" for one in wanted or ("tiny", "small"))
    origin = f"http://{registry.name}"
    return models_bundle.create(place, lock_path=place.with_name("none.lock"), only=only, origin=origin)


def checked(place: Path) -> pack.Bundle:
    found = pack.read(place)
    pack.verify(found, ByteProgress("x", "verifying", found.contents.lock, None))
    return found


@pytest.fixture(params=["b", "b.tar"])
def place(request, tmp_path) -> Path:
    return tmp_path / request.param


class Cut(Exception):
    pass


def test_a_stopped_run_goes_on_and_fetches_nothing_twice(place, registry, monkeypatch):
    monkeypatch.setattr(models_bundle, "AT_ONCE", 1)
    monkeypatch.setattr(pack_sources, "NOTE_EVERY", 1 << 16)
    ask, left = Asked.blob, [1_000_000]

    def cut(self, name, digest, start=0):
        return _Cutting(ask(self, name, digest, start), left)

    monkeypatch.setattr(Asked, "blob", cut)
    with pytest.raises(Cut):
        create(place, registry, "small")
    with pytest.raises(ReaperError):
        pack.read(place)
    first = registry.bytes_sent
    monkeypatch.setattr(Asked, "blob", ask)
    create(place, registry, "small")
    size = checked(place).contents.lock.models[0].size
    served = Counter(registry.requests)
    assert sum(count for request, count in served.items() if "/cdn/" in request) > 3
    assert first + size > registry.bytes_sent
    assert not list(place.parent.glob("*.part*"))


class _Cutting:
    """Ends the run in the middle of a blob."""

    def __init__(self, opened, left):
        self.opened, self.left = opened, left

    def __enter__(self):
        return self._parts(self.opened.__enter__())

    def __exit__(self, *error):
        return self.opened.__exit__(*error)

    def _parts(self, parts):
        for part in parts:
            self.left[0] -= len(part)
            if self.left[0] < 0:
                raise Cut
            yield part


def test_the_first_error_ends_what_other_threads_fetch(place, registry, monkeypatch):
    """So does Ctrl-C, and the end of a window: nobody waits for blobs that are still on their way."""
    ask, slow, until = Asked.blob, threading.Event(), time.monotonic() + 20

    @contextmanager
    def opened(self, name, digest, start=0):
        with ask(self, name, digest, start) as parts:
            first = next(parts)
            yield _dripping(first) if len(first) > 4096 else _interrupted()

    def _dripping(first):
        slow.set()
        yield first[:1]
        while time.monotonic() < until:
            time.sleep(0.02)
            yield b""
        raise Cut

    def _interrupted():
        slow.wait(10)
        raise KeyboardInterrupt
        yield b""

    monkeypatch.setattr(Asked, "blob", opened)
    with pytest.raises(KeyboardInterrupt):
        create(place, registry, "small")
    assert time.monotonic() < until - 10


def test_what_a_registry_does_wrong_is_said_and_a_second_run_mends_it(place, registry):
    with pytest.raises(ReaperError, match="sends other bytes than were asked for"):
        create(place, registry, "tiny", namespace="mismatch")
    with pytest.raises(ReaperError, match="answers 404"):
        create(place, registry, "tiny", namespace="blob404")
    with pytest.raises(ReaperError, match="it has no such model or tag"):
        create(place, registry, "nobody")
    create(place, registry, "tiny", namespace="trunc1")
    assert [one.name for one in checked(place).contents.lock.models] == ["registry.ollama.ai/trunc1/tiny:latest"]


def test_a_bundle_becomes_another_one_and_the_old_blobs_leave(tmp_path, registry):
    place = tmp_path / "b"
    create(place, registry)
    served = registry.bytes_sent
    create(place, registry, "tiny")
    assert registry.bytes_sent == served
    assert [names.short(one.name) for one in checked(place).contents.lock.models] == ["tiny:latest"]
    (place / "holiday.jpg").write_text("")
    with pytest.raises(ReaperError, match="belongs to no bundle"):
        create(place, registry, "tiny")
    assert (place / "holiday.jpg").exists()


def test_the_store_of_a_server_is_never_taken_for_a_bundle(tmp_path, registry):
    """Blobs and manifests alone are what a store holds, and what is not wanted would leave a bundle."""
    create(tmp_path / "store", registry)
    for name in ("reaper-bundle.json", "models.lock", "SHA256SUMS"):
        (tmp_path / "store" / name).unlink()
    before = {path: path.stat().st_size for path in (tmp_path / "store").rglob("*")}
    with pytest.raises(ReaperError, match="holds models, but is no bundle"):
        create(tmp_path / "store", registry, "tiny")
    assert {path: path.stat().st_size for path in (tmp_path / "store").rglob("*")} == before
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter.txt").write_text("")
    with pytest.raises(ReaperError, match="belongs to no bundle"):
        create(tmp_path / "home", registry, "tiny")
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letter.txt"]


def test_a_bundle_is_made_from_a_store_of_0_40_with_the_weights_as_they_were_published(tmp_path):
    made = modern_store.migrated(tmp_path / "store")
    origin = str(tmp_path / "store")
    models_bundle.create(tmp_path / "b", lock_path=tmp_path / "none.lock", only=("tiny",), origin=origin)
    (one,) = checked(tmp_path / "b").contents.lock.models
    assert (one.digest, made.weights in one.blobs) == (made.old, False)


def test_of_a_list_what_is_there_is_taken_and_a_link_out_of_the_store_is_not(tmp_path):
    made = modern_store.migrated(tmp_path / "store")
    store = pack_sources.LocalStore(tmp_path / "store")
    modern_store.path_of(tmp_path / "store", made.old).unlink()
    assert store.manifest(names.split("tiny")).digest == made.new
    modern_store.path_of(tmp_path / "store", made.new).unlink()
    with pytest.raises(ReaperError, match="lists no manifest that is in the store"):
        store.manifest(names.split("tiny"))
    made.entry.unlink()
    made.entry.symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_text("{}")
    with pytest.raises(ReaperError, match="is a link to no blob of its store"):
        store.manifest(names.split("tiny"))


def test_a_moved_tag_and_a_full_disk_are_said_before_a_byte_is_fetched(tmp_path, registry, monkeypatch):
    create(tmp_path / "b", registry, "tiny")
    lock = tmp_path / "models.lock"
    text = json.loads((tmp_path / "b/models.lock").read_text())
    text["models"]["registry.ollama.ai/library/tiny:latest"]["digest"] = f"sha256:{'0' * 64}"
    lock.write_text(json.dumps(text))
    served = registry.bytes_sent
    with pytest.raises(ReaperError, match="differs from the lock"):
        models_bundle.create(tmp_path / "c", lock_path=lock, origin=f"http://{registry.name}")
    monkeypatch.setattr("reaper_ops.adapters.pack_writer.SPARE", 1 << 60)
    with pytest.raises(ReaperError, match="the bundle needs"):
        create(tmp_path / "d", registry, "tiny")
    with pytest.raises(ReaperError, match="models do not compress"):
        create(tmp_path / "d.tar.zst", registry, "tiny")
    assert registry.bytes_sent == served
