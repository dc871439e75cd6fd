"""Swap: too little of it, too much use of it, no file system for it."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.out_of_memory import memory_headroom as headroom
from reaper_ops.core.doctor.rules.out_of_memory.oom_kill import KERNEL, oom_kill
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.provision.plan import swap

FULL = 10.0
PAGES = 1000.0
RUNNERS = ("llama-server", "ollama runner", "ollama_llama_server")


def no_swap(case: HostEvidence) -> Finding | None:
    """The host has no swap, so a peak during a load ends in a kill at once.

    Cloud images come without swap. Swap is a safety net for a peak, not working memory.

    Signals:
    - a load is killed within seconds, `SwapTotal: 0 kB`

    Not to be confused with:
    - swapfile-unsupported-fs: the inventory asks for swap, and the file system cannot hold it.
    - a host without swap where nothing was killed and the inventory asks for none: configured so.

    Sources:
    - https://github.com/ollama/ollama/issues/7423
    - https://wiki.archlinux.org/title/Swap
    """
    facts = case.facts
    if facts is None or facts.memory is None:
        return None
    if case.settings.swap_kind != "none":
        return None if swapfile_unsupported_fs(case) else _configured_swap(case)
    if facts.memory.swap_total or facts.system.container:
        return None
    kill = oom_kill(case)
    if kill is None or kill.cause != KERNEL:
        return None
    summary = f"the host has {headroom.gib(facts.memory.total)} of memory and no swap for a peak"
    evidence = Evidence("meminfo", f"SwapTotal 0, MemTotal {headroom.gib(facts.memory.total)}")
    return Finding(summary, (evidence, *kill.evidence[:1]), Confidence.LIKELY)


def _configured_swap(case: HostEvidence) -> Finding | None:
    """The swap that the inventory asks for, by its own name: other swap does not replace it."""
    rows, kind = case.facts.swaps if case.facts else None, case.settings.swap_kind
    place = case.settings.swap_path if kind == "file" else "/dev/zram"
    if rows is None or any(row.path.startswith(place) for row in rows):
        return None
    active = ", ".join(row.path for row in rows) or "no swap in use"
    summary = f"the swap of the inventory ({kind}, {headroom.gib(case.settings.swap_size)}) is not in use"
    return Finding(summary, (Evidence("/proc/swaps", active),), steps=(_CREATE,))


def thrashing(case: HostEvidence) -> bool:
    """Tasks wait for memory, or pages move, while a model is loaded."""
    pressure, rate = case.traces.pressure, case.traces.swap_rate
    hard = (pressure is not None and pressure.full > FULL) or (rate is not None and rate > PAGES)
    return hard and _loaded(case)


def _loaded(case: HostEvidence) -> bool:
    running = (process.command for process in case.traces.processes or ())
    return bool(case.seen.loaded) or any(name in command for command in running for name in RUNNERS)


def swap_thrashing(case: HostEvidence) -> Finding | None:
    """A loaded model does not fit into memory, so its pages move to swap and back for every token.

    The runner reads the weights in order for each token, so the pages that it needs next are always those that the
    kernel evicted longest ago.

    Signals:
    - minutes for a token, SSH freezes, a huge load average
    - `/proc/pressure/memory` full avg10 over 10, or more than 1000 pages per second

    Not to be confused with:
    - partial-cpu-offload: slow, but without swapping.
    - server-hung: no memory pressure.

    Sources:
    - https://github.com/ollama/ollama/issues/7686
    - https://github.com/ollama/ollama/issues/6031
    """
    if not thrashing(case):
        return None
    rows = sorted(case.seen.loaded or (), key=lambda row: row.size or 0, reverse=True)
    names = [row.name for row in rows]
    verb = "are" if len(names) > 1 else "is"
    loaded = f"{', '.join(names)} {verb} loaded" if names else "a model is loaded"
    memory = case.facts.memory if case.facts else None
    busy = "moving memory to swap and back" if memory is None or memory.swap_total else "reading evicted memory back"
    values, unload = ({"model": names[0]}, (_UNLOAD,)) if names else ({}, ())
    steps = (*unload, _SMALLER, *(() if case.settings.ollama_runtime == "process" else (_FAIL_FAST,)))
    return Finding(f"the host is busy {busy} while {loaded}", _measured(case), values=values, steps=steps)


def _measured(case: HostEvidence) -> tuple[Evidence, ...]:
    pressure, rate, memory = case.traces.pressure, case.traces.swap_rate, case.facts.memory if case.facts else None
    found = []
    if pressure is not None:
        found.append(
            Evidence("/proc/pressure/memory", f"full avg10={pressure.full:.1f} some avg10={pressure.some:.1f}")
        )
    if rate is not None:
        found.append(Evidence("/proc/vmstat", f"{rate:.0f} pages per second in and out of swap"))
    if memory is not None:
        used = memory.swap_total - memory.swap_free
        found.append(Evidence("meminfo", f"available {headroom.gib(memory.available)}, swap used {headroom.gib(used)}"))
    return tuple(found)


def swapfile_unsupported_fs(case: HostEvidence) -> Finding | None:
    """The inventory asks for a swap file on a file system that cannot hold one.

    ZFS, overlay, network and FUSE file systems cannot. btrfs can, with a file that has no copy-on-write and no holes,
    which is how `up` creates it.

    Signals:
    - `swapon: /swapfile: swapon failed: Invalid argument`
    - the kernel's `swapon: swapfile has holes`

    Not to be confused with:
    - no-swap: the file system can hold the file, which does not exist yet.

    Sources:
    - btrfs-progs, Documentation/ch-swapfile.rst
    - util-linux, swapon(8)
    """
    facts, settings = case.facts, case.settings
    if facts is None or settings.swap_kind != "file" or facts.swaps is None:
        return None
    if any(row.path == settings.swap_path for row in facts.swaps):
        return None
    values = {"path": settings.swap_path}
    disk = facts.disks.get(settings.swap_path)
    why = swap.refused(disk.fstype) if disk else ""
    if disk is not None and why:
        shown = Evidence("findmnt", f"{settings.swap_path} lies on {disk.mount}, {disk.fstype}")
        summary = f"the inventory asks for a swap file at {settings.swap_path}: {why}"
        return Finding(summary, (shown,), values=values, steps=(_ELSEWHERE,))
    for hit in case.kernel_hits:
        if hit.signature.id == "swapfile-holes":
            shown = Evidence("kernel log", excerpt(hit.line))
            return Finding(
                f"the swap file {settings.swap_path} has holes", (shown,), Confidence.LIKELY, values, steps=_HOLES
            )
    return None


_UNLOAD = Step("Unload {model}.", "{ollama} stop {model}", Automate.SAFE, "unload")
_SMALLER = Step("Choose a smaller model, or set a smaller `ollama_context_length`; then", "{up}")
_FAIL_FAST = Step("Or let such a load fail at once: `ollama_memory_max` keeps the service out of swap; then", "{up}")
_CREATE = Step("Create the swap that the inventory asks for.", "{up}", Automate.ASK, "apply")
_ELSEWHERE = Step("Set `swap_path` to another file system, or set `swap_kind: zram`; then", "{up}")
_HOLES = (
    Step("Remove the file, which cannot be used as swap.", "sudo rm {path}"),
    Step("Create it again, without holes.", "{up}", Automate.ASK, "apply"),
)

RULES = (
    Rule(
        no_swap,
        Severity.WARNING,
        steps=(Step("Set `swap_kind: file` and `swap_size: 16G`, or `swap_kind: zram`; then", "{up}"),),
        needs=("meminfo.txt",),
    ),
    Rule(
        swap_thrashing,
        Severity.ERROR,
        steps=(_UNLOAD, _SMALLER, _FAIL_FAST),
        explains=(
            "load-timeout",
            "server-hung",
            "same-model-queueing",
            "client-timeout-too-short",
            "queue-full-503",
            "timeout",
            "starting",
            "degraded",
            "overloaded",
        ),
        needs=("meminfo.txt",),
    ),
    Rule(
        swapfile_unsupported_fs,
        Severity.WARNING,
        steps=(_ELSEWHERE,),
    ),
)
