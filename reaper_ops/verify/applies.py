"""Which hosts a check applies to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reaper_ops.verify.expected import Expected


def only(predicate: Callable[[Expected], bool]) -> pytest.MarkDecorator:
    return pytest.mark.applies_to.with_args(predicate)


SYSTEMD = only(lambda wish: wish.runtime == "systemd")
OWN_UNIT = only(lambda wish: wish.runtime == "systemd" and not wish["ollama_adopt"])
DOCKER = only(lambda wish: wish.runtime == "docker")
PROCESS = only(lambda wish: wish.runtime == "process")
MEMORY_LIMIT = only(lambda wish: wish["ollama_memory_max"] is not None)
MODELS = only(lambda wish: bool(wish.models))
SWAP = only(lambda wish: wish["swap_kind"] != "none")
SWAP_FILE = only(lambda wish: wish["swap_kind"] == "file")
SWAP_ZRAM = only(lambda wish: wish["swap_kind"] == "zram")
GPU_PROMISED = only(lambda wish: wish["gpu_vendor"] in {"nvidia", "amd"} or wish["gpu_require"])
