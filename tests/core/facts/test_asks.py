"""Whatever a part of the facts wants to ask is asked: a question that nobody collects is a fact that is never known."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

from reaper_ops.core import facts
from reaper_ops.core.inventory.settings import Settings

PARTS = [importlib.import_module(f"{facts.__name__}.{one.name}") for one in pkgutil.iter_modules(facts.__path__)]
ASKING = [part for part in PARTS if hasattr(part, "asks")]


@pytest.mark.parametrize("runtime", ["systemd", "docker", "process"])
@pytest.mark.parametrize("part", ASKING, ids=lambda part: part.__name__.rpartition(".")[2])
def test_every_question_is_asked(part: object, runtime: str) -> None:
    settings = Settings(ollama_runtime=runtime)
    asked = {ask["id"] for ask in facts.asks(settings, traces=True)}
    asks = part.asks  # type: ignore[attr-defined]
    own = {ask["id"] for ask in (asks(settings) if inspect.signature(asks).parameters else asks())}
    assert own <= asked


def test_a_plan_asks_for_the_package_archives_of_a_host() -> None:
    assert "package-sources" in {ask["id"] for ask in facts.asks(Settings())}
