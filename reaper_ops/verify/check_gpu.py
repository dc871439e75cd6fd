"""The server uses the GPU that it was promised."""

from __future__ import annotations

import re

from reaper_ops.verify.applies import GPU_PROMISED
from reaper_ops.verify.expected import Expected
from reaper_ops.verify.server import CheckedServer

LIBRARIES = {"nvidia": {"cuda"}, "amd": {"rocm"}, "auto": {"cuda", "rocm"}}


@GPU_PROMISED
def check_gpu_is_used(server: CheckedServer, expected: Expected) -> None:
    """The server found the GPU when it started."""
    since_start = server.log().rpartition("Listening on ")[2]
    lines = [line for line in since_start.splitlines() if "inference compute" in line]
    found = {match[1].lower() for line in lines if (match := re.search(r"\blibrary=\"?(\w+)", line))}
    assert found, "the server's log says nothing of inference compute since its start"
    wanted = LIBRARIES[expected["gpu_vendor"]]
    assert found & wanted, f"the server computes with {', '.join(sorted(found))}"
