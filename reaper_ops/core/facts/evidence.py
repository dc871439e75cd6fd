"""Log lines: the server's last ones with those of its start, and the kernel's about memory, GPUs and disks."""

from __future__ import annotations

from typing import Any

from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts.answers import Answers, Ask, whole
from reaper_ops.core.inventory.settings import Settings

LINES = 300
LOOK_BACK = 5000
START = (
    r"msg=\"(inference compute|discovering available GPUs|server config|vram-based default context|Listening on"
    r"|failure during|NVIDIA driver too old|skipping CUDA|dropping|user overrode visible)"
    r"|level=ERROR|panic:|Error: |bind: |listen tcp|Scheduled restart job|Main process exited|request failed:"
    r"|part \d+ attempt|stalled; retrying|msg=\"?downloading |invalid (environment variable|port)|signal: killed"
    r"|starting llama-server|(llama-server|llama runner) started in|msg=\"?load request|Load failed|loaded runners"
    r"|memory_breakdown_print:   - "
    r"|reducing automatic context|runtime OOM detected|quantizing model|A process of this unit has been killed"
    r"|Failed with result|systemd-oomd killed|no longer running|\| 499 \||\| 504 \||\| 403 \|.*OPTIONS"
)
KERNEL = (
    r"oom-kill:|[Oo]ut of memory|oom_reaper|invoked oom-killer|Killed process|NVRM|nvidia.*(error|fail)"
    r"|amdgpu.*(error|reset|fault|fail)|trap invalid opcode|segfault.*(ollama|llama)|I/O error|No space left"
    r"|EXT4-fs (error|warning)|XFS .*([Cc]orrupt|[Ss]hut|error)|BTRFS (error|critical)|Remounting filesystem read-only"
    r"|blocked for more than|unavailable key|PM: suspend exit|swapon: |clock throttled|traps: (ollama|llama)"
)
CHOICE: dict[str, Any] = {"tail": True, "max_bytes": 2 << 20, "lines": LINES, "also": START}
KERNEL_CHOICE: dict[str, Any] = {"tail": True, "max_bytes": 4 << 20, "lines": 200, "grep": KERNEL}


def asks(settings: Settings) -> list[Ask]:
    journal = ["journalctl", "--quiet", "--no-pager", "-o", "short-iso"]
    server: dict[str, Ask] = {
        "systemd": {"kind": "command", "argv": [*journal, "-u", places.UNIT, "-n", str(LOOK_BACK)]},
        "docker": {"kind": "command", "argv": ["docker", "logs", "--tail", str(LOOK_BACK), places.CONTAINER]},
        "process": {"kind": "file", "path": f"{places.home(settings)}/ollama.log"},
    }
    return [
        {"id": "log", **server[settings.ollama_runtime], **CHOICE},
        {"id": "kernel-journal", "kind": "command", "argv": [*journal, "-k", "-b"], **KERNEL_CHOICE},
        {"id": "kernel-ring", "kind": "command", "argv": ["dmesg"], **KERNEL_CHOICE},
    ]


def parse_log(answers: Answers) -> str | None:
    """The server's own lines in order; a container's come on both streams."""
    command = answers.command("log")
    if command is not None and command.rc == 0:
        return None if _hidden(answers) else command.out + command.err
    return answers.content("log")


def _hidden(answers: Answers) -> bool:
    """Who is not root may see an empty journal where there is a full one."""
    command, uid = answers.command("log"), whole(answers.get("identity").get("uid"))
    return bool(uid) and command is not None and command.rc == 0 and not (command.out + command.err).strip()


def parse_kernel(answers: Answers) -> str | None:
    """From the journal, which keeps the time of day; from the ring buffer where that has none.

    An empty journal proves nothing where the ring buffer cannot be read.
    """
    journal, ring = answers.out("kernel-journal"), answers.out("kernel-ring")
    if not journal and ring is None and answers.command("kernel-ring") is not None:
        return None
    return journal or ring or journal


def unread(answers: Answers) -> dict[str, str]:
    return {"log": "this user sees no line of it; read it as root"} if _hidden(answers) else {}
