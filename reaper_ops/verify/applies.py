"""Which hosts a check applies to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reaper_ops.verify.expected import Expected


def only(predicate: Callable[[Expected], bool]) -> pytest.MarkDecorator:
    return pytest.mark.applies_to.with_args(predicate)


SYSTEMD = only(lambda expected: expected.runtime == "systemd")
OWN_UNIT = only(lambda expected: expected.runtime == "systemd" and not expected["ollama_adopt"])
DOCKER = only(lambda expected: expected.runtime == "docker")
PROCESS = only(lambda expected: expected.runtime == "process")
MEMORY_LIMIT = only(lambda expected: expected["ollama_memory_max"] is not None)
MODELS = only(lambda expected: bool(expected.models))
SWAP = only(lambda expected: expected["swap_kind"] != "none")
SWAP_FILE = only(lambda expected: expected["swap_kind"] == "file")
SWAP_ZRAM = only(lambda expected: expected["swap_kind"] == "zram")
GPU_PROMISED = only(lambda expected: expected["gpu_vendor"] in {"nvidia", "amd"} or expected["gpu_require"])
