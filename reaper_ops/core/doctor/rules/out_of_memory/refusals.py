"""Refused, not killed: by Ollama's own check, by a limit of the system, by Windows."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, Verdict, excerpt
from reaper_ops.core.doctor.rules.out_of_memory import kill_remedies as remedies
from reaper_ops.core.doctor.rules.out_of_memory import memory_headroom as headroom
from reaper_ops.core.doctor.rules.out_of_memory.oom_kill import CONTAINER, KERNEL, UNIT
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence, State

ADDRESS_SPACE = "Max address space"
LOCKED = "Max locked memory"
IN_MEMORY = frozenset({KERNEL, CONTAINER, UNIT, "oompolicy-stops-service", "ram-preflight-refused"})


def _refusal(case: HostEvidence) -> tuple[Verdict, int | None, int | None] | None:
    """The verdict, and what was needed and free, in bytes."""
    verdict = case.verdict_of("ram-preflight-refused")
    if verdict is None:
        return None
    for shown in verdict.evidence:
        hit = signatures.match("api", shown.text)
        if hit is not None and "need" in hit.groups:
            return verdict, headroom.parsed(hit.groups["need"]), headroom.parsed(hit.groups["have"])
    return verdict, None, None


def ram_preflight_refused(case: HostEvidence) -> Finding | None:
    """Ollama refused a model because free memory and free swap are too small for it.

    Only versions 0.2.1 to 0.24 check that. Nothing was killed.

    Signals:
    - HTTP 500 `model requires more system memory (39.4 GiB) than is available (30.0 GiB)`

    Not to be confused with:
    - container-free-underestimated: the message names far less free memory than the host has.
    - kernel-oom-kill: the kernel log names a victim.

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
    loaded = f" with {', '.join(names)} loaded" if names else ""
    summary = f"Ollama refused a model: it needs {headroom.gib(need)}, but {headroom.gib(have)} were free{loaded}"
    values, unload = ({"model": names[0]}, (_UNLOAD,)) if names else ({}, ())
    return Finding(summary, verdict.evidence, values=values, steps=(*unload, _SMALLER, *_more_memory(case)))


def _more_memory(case: HostEvidence) -> tuple[Step, ...]:
    """Swap of the host does not help at a limit, which keeps the server out of it."""
    size = case.settings.ollama_memory_max
    if size:
        return (Step(f"Or raise `ollama_memory_max`, now {headroom.gib(size)}; then", "{up}"),)
    return remedies.more_swap(case) if headroom.limit(case) is None else ()


def container_free_underestimated(case: HostEvidence) -> Finding | None:
    """Ollama in a container counts the file cache as used memory and refuses a model that would fit.

    It takes free memory as the total minus `memory.current`, which includes cached files, such as the weights
    themselves and downloads. A restart resets the count.

    Signals:
    - `requires more system memory (...) than is available (15.7 GiB)` on a host with 28 GiB free; each try names less

    Not to be confused with:
    - ram-preflight-refused: the host is as full as the message says.
    - container-memory-limit-oom: the container's limit is that low.

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
    free, limit = memory.available + memory.swap_free, headroom.limit(case)
    if have is None or need is None or have > 0.75 * free or need > free or (limit and limit.size < memory.total):
        return None
    shown = [
        *verdict.evidence,
        Evidence("meminfo", f"available {headroom.gib(memory.available)}, swap free {headroom.gib(memory.swap_free)}"),
    ]
    current = case.traces.cgroup.current if case.traces.cgroup else None
    if current is not None:
        shown.append(Evidence("cgroup memory.current", headroom.gib(current)))
    proven = current is not None and abs(memory.total + memory.swap_free - current - have) < 0.1 * memory.total
    sizes = f"it counted {headroom.gib(have)} as free, but the host has {headroom.gib(free)}, swap included"
    summary = f"Ollama counts cached files as used memory: {sizes}"
    return Finding(summary, tuple(shown), Confidence.CERTAIN if proven else Confidence.LIKELY)


def wsl2_memory_cap(case: HostEvidence) -> Finding | None:
    """WSL2 gives Linux too little of the Windows host's memory.

    The default is half of it; the rest stays with Windows, whatever Linux needs.

    Signals:
    - out of memory at half of the machine's memory

    Not to be confused with:
    - kernel-oom-kill on a Linux host: its kernel version does not contain `microsoft`.

    Sources:
    - https://github.com/ollama/ollama/issues/7711
    - https://github.com/komikndr/raylight/issues/108
    """
    ended = next((v for v in case.verdicts if v.state is State.OUT_OF_MEMORY and v.cause in IN_MEMORY), None)
    kernel = case.facts.system.kernel if case.facts else ""
    if ended is None or "microsoft" not in kernel.lower():
        return None
    memory = case.facts.memory if case.facts else None
    size = headroom.gib(memory.total) if memory else "a part"
    evidence = (Evidence("uname -r", kernel), Evidence("meminfo", f"MemTotal {size}"), *ended.evidence[:1])
    summary = f"this host runs in WSL2, which gives it only {size} of the memory of Windows"
    return Finding(summary, evidence, Confidence.LIKELY)


def overcommit_or_ulimit(case: HostEvidence) -> Finding | None:
    """A limit of the system refused an allocation although memory was free.

    Strict overcommit (`vm.overcommit_memory=2`) counts all memory that was allocated, used or not; `ulimit -v` and
    `LimitAS=` limit the address space; `LimitMEMLOCK=` limits what a process can lock.

    Signals:
    - `ggml_aligned_malloc: insufficient memory`, `Cannot allocate memory`, with free memory on the host
    - `failed to mlock 4912902144-byte buffer ... Cannot allocate memory`

    Not to be confused with:
    - kernel-oom-kill: a process was killed; here an allocation failed.
    - context-oversized: no such limit is set, and one buffer is larger than the host.

    Sources:
    - https://github.com/Mintplex-Labs/anything-llm/issues/3080
    - proc(5), /proc/sys/vm/overcommit_memory
    """
    limits = case.traces.limits or {}
    refused = case.verdict_of("context-oversized")
    space = limits.get(ADDRESS_SPACE, "unlimited")
    if refused is not None and case.traces.overcommit == 2:
        evidence = (*refused.evidence, Evidence("/proc/sys/vm/overcommit_memory", "2"))
        return Finding("the host does not overcommit memory and refused an allocation", evidence, steps=_OVERCOMMIT)
    if refused is not None and space != "unlimited":
        evidence = (*refused.evidence, Evidence(_limits_file(case), f"{ADDRESS_SPACE} {space}"))
        size = headroom.gib(int(space)) if space.isdigit() else space
        summary = f"the server's address space is limited to {size}, so an allocation failed"
        return Finding(summary, evidence, steps=_ADDRESS_SPACE[case.settings.ollama_runtime])
    return _not_locked(case, limits.get(LOCKED, "unlimited"))


def _not_locked(case: HostEvidence, locked: str) -> Finding | None:
    if locked == "unlimited":
        return None
    for hit in case.log_hits:
        if hit.signature.id == "mlock-limit":
            evidence = (Evidence("server log", excerpt(hit.line)), Evidence(_limits_file(case), f"{LOCKED} {locked}"))
            summary = "a request asked to lock a model in memory (`use_mlock`), which the server's limit forbids"
            steps = (*(_MEMLOCK if case.settings.ollama_runtime == "systemd" else ()), _NO_MLOCK)
            return Finding(summary, evidence, severity=Severity.WARNING, steps=steps)
    return None


def _limits_file(case: HostEvidence) -> str:
    process = case.facts.process if case.facts else None
    return f"/proc/{process.pid}/limits" if process else "limits of the server's process"


_OVERCOMMIT = (
    Step("Allow overcommit, Linux's default.", "sudo sysctl -w vm.overcommit_memory=0"),
    Step(
        "Find the file that sets it, and correct it there: otherwise a reboot brings it back.",
        "grep -rn overcommit_memory /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d",
    ),
)
_RESTART = Step("Restart the server.", "{restart}", Automate.ASK, "restart")
_ADDRESS_SPACE = {
    "systemd": (
        Step(
            "Remove `LimitAS=` from the file that sets it, and have systemd read it with `systemctl daemon-reload`.",
            "systemctl cat ollama | grep -n -e '^# /' -e LimitAS",
        ),
        _RESTART,
    ),
    "docker": (
        Step(
            "Find the limit among the container's ulimits.", "docker inspect -f '{{json .HostConfig.Ulimits}}' ollama"
        ),
        Step("Recreate the container without it.", "{up}", Automate.ASK, "apply"),
    ),
    "process": (
        Step(
            "Find the limit `as` of the login, or a `ulimit -v` in its shell profile, and remove it.",
            "grep -rnw as /etc/security/limits.conf /etc/security/limits.d",
        ),
        Step("Stop the server, and start it again from a new login.", "{restart}", Automate.ASK, "restart"),
    ),
}
_MEMLOCK = (Step("Add `[Service]` and `LimitMEMLOCK=infinity`.", "sudo systemctl edit ollama"), _RESTART)
_NO_MLOCK = Step("Or remove `use_mlock` from the requests or the Modelfile.")
_UNLOAD = Step("Unload {model}.", "{ollama} stop {model}", Automate.SAFE, "unload")
_SMALLER = Step("Choose a smaller model or quantization, or lower `ollama_context_length`; then", "{up}")

RULES = (
    Rule(
        ram_preflight_refused,
        Severity.ERROR,
        steps=(_UNLOAD, _SMALLER, remedies.SWAP),
        explains=("out-of-memory",),
        needs=("journal.log",),
    ),
    Rule(
        container_free_underestimated,
        Severity.ERROR,
        steps=(
            Step("Restart the container, which resets the count.", "{restart}", Automate.ASK, "restart"),
            Step("Set a newer `ollama_version`: from 0.30 Ollama no longer refuses a model; then", "{up}"),
        ),
        explains=("ram-preflight-refused", "out-of-memory"),
        needs=("meminfo.txt", "cgroup.txt"),
    ),
    Rule(
        wsl2_memory_cap,
        Severity.ERROR,
        steps=(
            Step(
                "On Windows, raise the limits in %UserProfile%\\.wslconfig, for example `memory=48GB` below `[wsl2]`."
            ),
            Step("On Windows, stop WSL; its next start applies them.", "wsl --shutdown"),
        ),
        explains=("kernel-oom-kill", "ram-preflight-refused", "out-of-memory"),
        needs=("meminfo.txt",),
        question="How much memory does Windows have, and what does .wslconfig say, if {host} runs in WSL2?",
        concerns=lambda case: case.may_be_windows,
    ),
    Rule(
        overcommit_or_ulimit,
        Severity.ERROR,
        steps=(*_ADDRESS_SPACE["systemd"], *_OVERCOMMIT, *_MEMLOCK, _NO_MLOCK),
        explains=("out-of-memory",),
        needs=("journal.log",),
    ),
)
