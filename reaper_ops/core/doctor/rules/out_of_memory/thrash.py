"""Swap: too little of it, too much use of it, no place for it."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.out_of_memory import memory_headroom as room
from reaper_ops.core.doctor.rules.out_of_memory.oom_kill import KERNEL, death
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.provision.plan import swap

FULL = 10.0
PAGES = 1000.0
RUNNERS = ("llama-server", "ollama runner", "ollama_llama_server")


def no_swap(case: HostEvidence) -> Finding | None:
    """The host has no swap, so a peak of a load ends at once in a kill.

    Cloud images come without any. Swap is a safety net for a peak, not working memory.

    Signals:
    - a load is killed within seconds, `SwapTotal: 0 kB`

    Not to be confused with:
    - swapfile-unsupported-fs: swap is wished, and the file system cannot hold it.
    - a host without swap where nothing was killed and none is wished: that is a choice.

    Sources:
    - https://github.com/ollama/ollama/issues/7423
    - https://wiki.archlinux.org/title/Swap
    """
    facts = case.facts
    if facts is None or facts.memory is None:
        return None
    if case.settings.swap_kind != "none":
        return None if swapfile_unsupported_fs(case) else _wished_swap(case)
    if facts.memory.swap_total or facts.system.container:
        return None
    shown = (Evidence("meminfo", f"SwapTotal 0, MemTotal {room.gib(facts.memory.total)}"),)
    dead = death(case)
    if dead is None or dead.cause != KERNEL:
        return None
    summary = f"the host has {room.gib(facts.memory.total)} of memory and no swap to bridge a peak"
    return Finding(summary, (*shown, *dead.evidence[:1]), Confidence.LIKELY)


def _wished_swap(case: HostEvidence) -> Finding | None:
    """The swap that the inventory wishes, by its own name: other swap does not stand in for it."""
    rows, kind = case.facts.swaps if case.facts else None, case.settings.swap_kind
    place = case.settings.swap_path if kind == "file" else "/dev/zram"
    if rows is None or any(row.path.startswith(place) for row in rows):
        return None
    wish = f"{kind}, {room.gib(case.settings.swap_size)}"
    seen = ", ".join(row.path for row in rows) or "no swap in use"
    heal = (Step("Make the swap that the inventory wishes.", "{up}", Automate.ASK, "apply"),)
    summary = f"the inventory wishes swap ({wish}), and it is not in use"
    return Finding(summary, (Evidence("/proc/swaps", seen),), steps=heal)


def thrashing(case: HostEvidence) -> bool:
    """Tasks wait for memory, or pages move, while a model is loaded."""
    pressure, rate = case.traces.pressure, case.traces.swap_rate
    hard = (pressure is not None and pressure.full > FULL) or (rate is not None and rate > PAGES)
    return hard and _loaded(case)


def _loaded(case: HostEvidence) -> bool:
    running = (process.command for process in case.traces.processes or ())
    return bool(case.seen.loaded) or any(name in command for command in running for name in RUNNERS)


def swap_thrashing(case: HostEvidence) -> Finding | None:
    """A loaded model does not fit into memory, and its pages move to swap and back for every token.

    Weights are read in order for each token, so the pages that are needed next are those thrown out last.

    Signals:
    - minutes for a token, SSH freezes, a huge load average
    - `/proc/pressure/memory` full avg10 over 10, or more than 1000 pages per second

    Not to be confused with:
    - partial-cpu-offload: slow, but nothing is swapped.
    - server-hung: no pressure at all.

    Sources:
    - https://github.com/ollama/ollama/issues/7686
    - https://github.com/ollama/ollama/issues/6031
    """
    if not thrashing(case):
        return None
    pressure, rate, memory = case.traces.pressure, case.traces.swap_rate, case.facts.memory if case.facts else None
    shown = (
        [Evidence("/proc/pressure/memory", f"full avg10={pressure.full:.1f} some avg10={pressure.some:.1f}")]
        if (pressure)
        else []
    )
    if rate is not None:
        shown.append(Evidence("/proc/vmstat", f"{rate:.0f} pages per second in and out of swap"))
    if memory is not None:
        used = memory.swap_total - memory.swap_free
        shown.append(Evidence("meminfo", f"available {room.gib(memory.available)}, swap used {room.gib(used)}"))
    names = [row.name for row in case.seen.loaded or ()]
    smaller = _SMALLER[:1] if case.settings.ollama_runtime == "process" else _SMALLER
    values, steps = ({"model": names[0]}, (_UNLOAD, *smaller)) if names else ({}, smaller)
    what = f"{', '.join(names)} is loaded" if names else "a model is loaded"
    return Finding(
        f"the host is busy moving memory to swap and back while {what}", tuple(shown), values=values, steps=steps
    )


def swapfile_unsupported_fs(case: HostEvidence) -> Finding | None:
    """A swap file is wished on a file system that cannot hold one.

    ZFS, overlay, network and FUSE file systems cannot; btrfs can only with a file that is never copied on write and
    has no holes, which is how `up` makes it.

    Signals:
    - `swapon: /swapfile: swapon failed: Invalid argument`
    - the kernel's `swapon: swapfile has holes`

    Not to be confused with:
    - no-swap: the file system would hold it, and nobody made it yet.

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
        return Finding(f"a swap file is wished at {settings.swap_path}: {why}", (shown,), values=values)
    for hit in case.kernel_hits:
        if hit.signature.id == "swapfile-holes":
            shown = Evidence("kernel log", excerpt(hit.line))
            return Finding(f"the swap file {settings.swap_path} has holes", (shown,), Confidence.LIKELY, values)
    return None


_UNLOAD = Step("Unload {model}.", "{ollama} stop {model}", Automate.SAFE, "unload")
_SMALLER = (
    Step("Choose a smaller model, or set a smaller `ollama_context_length`; then", "{up}"),
    Step("To fail fast instead, set `ollama_memory_max`, which forbids swap to the service; then", "{up}"),
)

RULES = (
    Rule(
        no_swap,
        Severity.WARNING,
        steps=(Step("Ask for swap in the inventory: `swap_kind: file`, `swap_size: 16G`, or `zram`; then", "{up}"),),
        needs=("meminfo.txt",),
    ),
    Rule(
        swap_thrashing,
        Severity.ERROR,
        steps=(_UNLOAD, *_SMALLER),
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
        steps=(
            Step("Put it elsewhere with `swap_path`, or ask for `swap_kind: zram`; then", "{up}"),
            Step("Where the kernel speaks of holes: remove the old file, and let `up` make it anew.", "sudo rm {path}"),
        ),
    ),
)
