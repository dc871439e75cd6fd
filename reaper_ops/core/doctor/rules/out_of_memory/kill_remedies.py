"""What to do after a kill: start what is down, raise the limit that was reached, keep less in memory."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Automate, Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.out_of_memory import memory_headroom as headroom

START = Step("Start the server again.", "{up}", Automate.ASK, "apply")
POLICY = Step("Let only a runner die next time: `up` writes OOMPolicy=continue.", "{up}", Automate.ASK, "apply")
LESS = Step(
    "Keep less in memory at once: `ollama_max_loaded_models: 1` and a smaller `ollama_context_length` in the "
    "inventory; then",
    "{up}",
)
SMALLER = Step("Or choose a smaller model or quantization under `ollama_models`; then", "{up}")
SWAP = Step("Or add swap as a safety net: `swap_kind: file`, `swap_size: 16G`; then", "{up}")
RAISE = Step(
    "Raise `ollama_memory_max` to the size of the model plus its context and 1 GiB, or remove it; then", "{up}"
)
EXEMPT = Step(
    "Or exempt the unit from systemd-oomd: add `[Service]` and `ManagedOOMPreference=avoid`.",
    "sudo systemctl edit ollama",
)
_BY_HAND = Step(
    "Raise or remove the container's limit, which the inventory does not set; `docker update` changes it at once.",
    "docker inspect -f '{{.HostConfig.Memory}} bytes' ollama",
)
_OUTSIDE = Step(
    "Raise or remove the memory limit of the control group {path}; no setting of the inventory sets it.",
    "cat /sys/fs/cgroup{path}/memory.max",
)
_UNIT = Step(
    "Raise or remove the `MemoryMax=` and `MemoryHigh=` of {name}, which the inventory does not set.",
    "systemctl cat {name}",
)
_RELOAD = Step("Then have systemd apply the change.", "sudo systemctl daemon-reload")
_SERVICE = Step("Or run the server as a service, apart from login sessions: `ollama_runtime: systemd`; then", "{up}")


def started(case: HostEvidence, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps after a kill: a server that is down is started, a unit that stops as a whole is corrected."""
    read = bool(case.seen.exchanges or case.unit or (case.facts and case.facts.container))
    if case.seen.version is None and read:
        return (START, *steps)
    return (*steps, POLICY) if case.unit.get("OOMPolicy") in {"stop", "kill"} else steps


def more_swap(case: HostEvidence) -> tuple[Step, ...]:
    """None for a host that is a container: its swap is that of the whole machine."""
    facts, settings = case.facts, case.settings
    if facts is not None and facts.system.container not in {"", "wsl", None}:
        return ()
    if settings.swap_kind == "file":
        size = headroom.gib(settings.swap_size)
        return (Step(f"Or give the host more swap: raise `swap_size`, now {size}; then", "{up}"),)
    if facts is not None and facts.memory is not None and facts.memory.swap_total:
        size = headroom.gib(facts.memory.swap_total)
        return (Step(f"Or add to the host's {size} of swap: `swap_kind: file`, `swap_size: 16G`; then", "{up}"),)
    return (SWAP,)


def host_ran_out(case: HostEvidence) -> tuple[Step, ...]:
    return started(case, (LESS, *more_swap(case), SMALLER))


def limit_reached(case: HostEvidence, group: str) -> tuple[Step, ...]:
    """group: the control group that reached its limit, where the kernel named it."""
    return started(case, (*_raised(case, group), LESS, SMALLER))


def _raised(case: HostEvidence, group: str) -> tuple[Step, ...]:
    """Only the setting that holds the limit is worth raising."""
    runtime, size = case.settings.ollama_runtime, case.settings.ollama_memory_max
    outer = group.endswith(".slice")
    if size and not outer:
        return (
            Step(RAISE.text.replace("`ollama_memory_max`", f"`ollama_memory_max`, now {headroom.gib(size)},"), "{up}"),
        )
    if runtime == "docker":
        return (_BY_HAND,)
    return (_UNIT, _RELOAD) if runtime == "systemd" else (_OUTSIDE,)


def limit_values(group: str) -> dict[str, str]:
    """What the steps of a limit name."""
    name = group.rpartition("/")[2] if group.endswith(".slice") else "ollama.service"
    return {"name": name, **({"path": group} if group else {})}


def throttled(case: HostEvidence) -> tuple[Step, ...]:
    return (_UNIT, _RELOAD, LESS, SMALLER)


def by_oomd(case: HostEvidence) -> tuple[Step, ...]:
    """A unit can be exempted; a container's scope lives only as long as the container."""
    last = {"systemd": (EXEMPT,), "docker": (), "process": (_SERVICE,)}[case.settings.ollama_runtime]
    return started(case, (LESS, *more_swap(case), *last))
