"""A lesser user, the modules that root runs, and a comparison of everything around the place that he attacks."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from reaper_ops import assets

PLAYBOOKS = assets.collection()
LESSER = 65534
SECRET = "root-only-secret-5f1c"


def library(name: str) -> ModuleType:
    """A module of ours as Python sees it, for calls of its functions in this process."""
    spec = importlib.util.spec_from_file_location(f"tried_{name}", PLAYBOOKS / "plugins/modules" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shared(name: str) -> Any:
    return importlib.import_module(f"{assets.MODULE_UTILS}.{name}")


def described(path: Path) -> tuple[object, ...]:
    info = path.lstat()
    text: object = ""
    if stat.S_ISREG(info.st_mode):
        text = hashlib.sha256(path.read_bytes()).hexdigest()
    elif stat.S_ISLNK(info.st_mode):
        text = str(path.readlink())
    return (oct(info.st_mode), info.st_uid, info.st_gid, text)


def snapshot(top: Path) -> dict[str, tuple[object, ...]]:
    """Kind, mode, owner and content of everything."""
    return {str(path.relative_to(top)): described(path) for path in (top, *sorted(top.rglob("*")))}


@dataclass(frozen=True)
class Ground:
    """`victim` is root's alone; `home` is the lesser user's, with a model store in it."""

    victim: Path
    home: Path
    before: dict[str, tuple[object, ...]]

    @property
    def store(self) -> Path:
        return self.home / "models"

    def link(self, path: str | Path, target: str | Path) -> Path:
        """As the lesser user lays it."""
        place = self.home / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
        self.theirs()
        return place

    def theirs(self) -> None:
        for path in (self.home, *self.home.rglob("*")):
            if path.is_symlink() or path.lstat().st_nlink == 1 or path.is_dir():
                os.chown(path, LESSER, LESSER, follow_symlinks=False)

    def untouched(self) -> None:
        assert snapshot(self.victim) == self.before


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    if os.geteuid() != 0:
        pytest.skip("only root can be led astray: run these tests as root")
    for directory in [tmp_path, *tmp_path.parents][:-2]:
        directory.chmod(directory.stat().st_mode | 0o711)
    victim, home = tmp_path / "victim", tmp_path / "home"
    for name in (
        "shadow",
        "blobs/sha256-aa",
        "logs/audit.log",
        "id_ed25519",
        "id_ed25519.pub",
        "r/l/m/t",
        "current/link",
    ):
        (victim / name).parent.mkdir(parents=True, exist_ok=True)
        (victim / name).write_text(f'{{"config": "{SECRET}"}}\n')
        (victim / name).chmod(0o600)
    (victim / "empty/deep").mkdir(parents=True)
    victim.chmod(0o700)
    for name in ("manifests/registry.ollama.ai/library/llama3/evil.sh", "blobs/sha256-bb"):
        (home / "models" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "models" / name).write_text("his own")
    found = Ground(victim, home, snapshot(victim))
    found.theirs()
    yield found
    found.untouched()
