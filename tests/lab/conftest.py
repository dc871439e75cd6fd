"""The simulated parts, each as a program or server of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from subject import Starter, simulated

from reaper_ops.lab import models
from reaper_ops.lab.ollama import gguf
from reaper_ops.lab.registry import LabRegistry

RECORDED = {"ok/tiny:1m": 1, "ok/mid:150m": 2, "ok/big:1b": 3, "library/tiny:1m": 1, "library/mid:150m": 2}


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabRegistry]:
    """With the names that the recordings have; the lab's own models beside them."""
    root = tmp_path_factory.mktemp("registry")
    models.publish(root, {name: gguf.Shape("recorded", seed=seed) for name, seed in RECORDED.items()})
    models.publish(root)
    found = LabRegistry(root).start()
    yield found
    found.stop()


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return simulated(tmp_path_factory.mktemp("release"))


@pytest.fixture
def starter(program: list[str], tmp_path: Path) -> Iterator[Starter]:
    found = Starter("simulated", program, tmp_path)
    yield found
    found.stop()
