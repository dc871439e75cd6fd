"""Refused, not killed: by Ollama's own check, by a limit of the system, by Windows."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, Verdict, excerpt
from reaper_ops.core.doctor.rules.out_of_memory import memory_headroom as room
from reaper_ops.core.doctor.rules.out_of_memory.oom_kill import CONTAINER, KERNEL, UNIT
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence, State

ADDRESS_SPACE = "Max address space"
LOCKED = "Max locked memory"
IN_MEMORY = frozenset({KERNEL, CONTAINER, UNIT, "oompolicy-stops-service", "ram-preflight-refused"})


def _refusal(case: HostEvidence) -> tuple[Verdict, int | None, int | None] | None:
    """The verdict, and what was needed and free, in bytes."""
    verdict = case.blamed("ram-preflight-refused")
    if verdict is None:
        return None
    for shown in verdict.evidence:
        hit = signatures.match("api", shown.text)
        if hit is not None and "need" in hit.groups:
            return verdict, room.parsed(hit.groups["need"]), room.parsed(hit.groups["have"])
    return verdict, None, None


def ram_preflight_refused(case: HostEvidence) -> Finding | None:
    """Ollama itself refused a model, because free memory and free swap are too small for it.

    Only versions 0.2.1 to 0.24 check that. Nothing was killed.

    Signals:
    - HTTP 500 `model requires more system memory (39.4 GiB) than is available (30.0 GiB)`

    Not to be confused with:
    - container-free-underestimated: the free memory that it names is far below what the host has.
    - kernel-oom-kill: there the kernel's log names a victim.

    Sources:
    - https://github.com/ollama/ollama/pull/5469
    - https://github.com/ollama/ollama/issues/7423
    - https://github.com/ollama/ollama/issues/6918
    """
    found = _refusal(case)
    if found is None:
        return None
    verdict, need, have = found
    if need is None or have is None:
        return Finding(f"Ollama refused: {verdict.summary}", verdict.evidence)
    names = [row.name for row in case.seen.loaded or ()]
    also = f", while {', '.join(names)} is loaded" if names else ""
    summary = f"Ollama refused a model: it needs {room.gib(need)}, and {room.gib(have)} were free{also}"
    if names:
        return Finding(summary, verdict.evidence, values={"model": names[0]}, steps=(_UNLOAD, *_REFUSED))
    return Finding(summary, verdict.evidence, steps=_REFUSED)


def container_free_underestimated(case: HostEvidence) -> Finding | None:
    """Ollama in a container takes the file cache for used memory, and refuses a model that would fit.

    It counts free memory as the total minus `memory.current`, and that holds cached files such as the weights
    themselves and pulls. A restart empties the count.

    Signals:
    - `requires more system memory (...) than is available (15.7 GiB)` on a host with 28 GiB free; each try names less

    Not to be confused with:
    - ram-preflight-refused: the host is as full as the message says.
    - container-memory-limit-oom: a limit of the container is really that low.

    Sources:
    - https://github.com/ollama/ollama/issues/15650
    - https://github.com/ollama/ollama/issues/13556
    - discover/cpu_linux.go of Ollama
    """
    found = _refusal(case)
    memory = case.facts.memory if case.facts else None
    if found is None or memory is None or case.settings.ollama_runtime != "docker":
        return None
    verdict, need, have = found
    free, lid = memory.available + memory.swap_free, room.limit(case)
    if have is None or need is None or have > 0.75 * free or need > free or (lid and lid.size < memory.total):
        return None
    shown = [*verdict.evidence, Evidence("meminfo", f"available {room.gib(memory.available)}")]
    current = case.traces.cgroup.current if case.traces.cgroup else None
    if current is not None:
        shown.append(Evidence("cgroup memory.current", room.gib(current)))
    proven = current is not None and abs(memory.total + memory.swap_free - current - have) < 0.1 * memory.total
    summary = f"Ollama counts cached files as used: it saw {room.gib(have)} free, the host has {room.gib(free)}"
    return Finding(summary, tuple(shown), Confidence.CERTAIN if proven else Confidence.LIKELY)


def wsl2_memory_cap(case: HostEvidence) -> Finding | None:
    """WSL2 gives Linux too little of the memory of Windows.

    By default it is the half; the rest stays with Windows, whatever Linux lacks.

    Signals:
    - out of memory at half of the machine's memory

    Not to be confused with:
    - kernel-oom-kill on a machine of its own: its kernel does not name Microsoft.

    Sources:
    - https://github.com/ollama/ollama/issues/7711
    - https://github.com/komikndr/raylight/issues/108
    """
    ended = next((v for v in case.verdicts if v.state is State.OUT_OF_MEMORY and v.cause in IN_MEMORY), None)
    kernel = case.facts.system.kernel if case.facts else ""
    if ended is None or "microsoft" not in kernel.lower():
        return None
    memory = case.facts.memory if case.facts else None
    size = room.gib(memory.total) if memory else "a part"
    shown = (Evidence("uname -r", kernel), Evidence("meminfo", f"MemTotal {size}"), *ended.evidence[:1])
    return Finding(f"this is WSL2, to which Windows gives {size} of its memory", shown, Confidence.LIKELY)


def overcommit_or_ulimit(case: HostEvidence) -> Finding | None:
    """An allocation was refused by a limit of the system, not for lack of memory.

    Strict overcommit (`vm.overcommit_memory=2`) counts every promise; `ulimit -v` and `LimitAS=` cap the address
    space; `LimitMEMLOCK=` caps what may be locked.

    Signals:
    - `ggml_aligned_malloc: insufficient memory`, `Cannot allocate memory`, with free memory on the host
    - `failed to mlock 4912902144-byte buffer ... Cannot allocate memory`

    Not to be confused with:
    - kernel-oom-kill: there something was killed; here an allocation came back empty.
    - context-oversized: no such limit is set, and one buffer is larger than the host.

    Sources:
    - https://github.com/Mintplex-Labs/anything-llm/issues/3080
    - proc(5), /proc/sys/vm/overcommit_memory
    """
    limits = case.traces.limits or {}
    refused = case.blamed("context-oversized")
    space = limits.get(ADDRESS_SPACE, "unlimited")
    if refused is not None and case.traces.overcommit == 2:
        shown = (*refused.evidence, Evidence("/proc/sys/vm/overcommit_memory", "2"))
        steps = (_OVERCOMMIT,)
        return Finding("the host allows no overcommit, and an allocation was refused", shown, steps=steps)
    if refused is not None and space != "unlimited":
        shown = (*refused.evidence, Evidence("/proc/PID/limits", f"{ADDRESS_SPACE} {space}"))
        size = room.gib(int(space)) if space.isdigit() else space
        return Finding(f"the server's address space is limited to {size}, and an allocation was refused", shown)
    return _not_locked(case, limits.get(LOCKED, "unlimited"))


def _not_locked(case: HostEvidence, locked: str) -> Finding | None:
    if locked == "unlimited":
        return None
    for hit in case.log_hits:
        if hit.signature.id == "mlock-limit":
            shown = (Evidence("server log", excerpt(hit.line)), Evidence("/proc/PID/limits", f"{LOCKED} {locked}"))
            summary = "a model was to be locked in memory, and the service's limit forbids it"
            return Finding(summary, shown, severity=Severity.WARNING, steps=(_MEMLOCK,))
    return None


_OVERCOMMIT = Step("Allow overcommit, as Linux does by default.", "sudo sysctl -w vm.overcommit_memory=0")
_MEMLOCK = Step(
    "`systemctl edit ollama`: `[Service]` with `LimitMEMLOCK=infinity`; or leave out `use_mlock`; then", "{restart}"
)

_UNLOAD = Step("Unload {model}, which is loaded too.", "{ollama} stop {model}", Automate.SAFE, "unload")
_REFUSED = (
    Step("Choose a smaller model or quantization, or lower `ollama_context_length`; then", "{up}"),
    Step("Or add swap: `swap_kind: file`, `swap_size: 16G`; then", "{up}"),
)

RULES = (
    Rule(
        ram_preflight_refused,
        Severity.ERROR,
        steps=(_UNLOAD, *_REFUSED),
        explains=("out-of-memory",),
        needs=("journal.log",),
    ),
    Rule(
        container_free_underestimated,
        Severity.ERROR,
        steps=(
            Step("Restart the container, which empties its count.", "{restart}", Automate.ASK, "restart"),
            Step("Set a newer `ollama_version`: from 0.30 nothing is refused any more; then", "{up}"),
        ),
        explains=("ram-preflight-refused", "out-of-memory"),
        needs=("meminfo.txt", "cgroup.txt"),
    ),
    Rule(
        wsl2_memory_cap,
        Severity.ERROR,
        steps=(
            Step("On Windows, write `[wsl2]`, `memory=48GB` and `swap=32GB` to %UserProfile%\\.wslconfig."),
            Step("On Windows, restart WSL.", "wsl --shutdown"),
        ),
        explains=("kernel-oom-kill", "ram-preflight-refused", "out-of-memory"),
        needs=("meminfo.txt",),
        question="How much memory does Windows have, and what does .wslconfig say, if {host} runs in WSL2?",
        concerns=lambda case: case.may_be_windows,
    ),
    Rule(
        overcommit_or_ulimit,
        Severity.ERROR,
        steps=(
            Step(
                "Find who limits it: `LimitAS=` of the unit, or `ulimit -v` of the shell that starts it; then",
                "{restart}",
            ),
            _OVERCOMMIT,
            _MEMLOCK,
        ),
        explains=("out-of-memory",),
        needs=("journal.log",),
    ),
)
