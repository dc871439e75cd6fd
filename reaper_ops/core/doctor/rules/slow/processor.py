"""Processors that are limited: by heat or power, by a quota, by missing instructions."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.content import wants_gpu
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence

HELD = {
    "hw_thermal_slowdown": "heat",
    "sw_thermal_slowdown": "heat",
    "hw_power_brake_slowdown": "the power supply",
    "hw_slowdown": "heat or the power supply",
}
OFTEN = 100
VIRTUAL = ("qemu", "kvm", "virtual")


def thermal_or_power_throttle(case: HostEvidence) -> Finding | None:
    """The GPU, or the CPU that runs the models, throttles because of heat or of the power supply.

    Cooling is too weak for the load, or the power supply slows the card. A power cap alone is normal for many cards
    under full load.

    Signals:
    - tokens per second fall over minutes
    - `nvidia-smi` names `hw_thermal_slowdown`, `sw_thermal_slowdown` or `hw_power_brake_slowdown` as active
    - `Core temperature above threshold, cpu clock throttled` in the kernel log, again and again

    Not to be confused with:
    - partial-cpu-offload: answers are slow from the first token on, and the GPU stays cool.

    Sources:
    - https://docs.nvidia.com/deploy/nvml-api/ (clock event reasons)
    """
    for card in case.traces.gpu_load or ():
        active = [name.rpartition(".")[2] for name in card.throttle if name.rpartition(".")[2] in HELD]
        if not active:
            continue
        heat = f"{card.temperature} °C" if card.temperature is not None else "temperature unknown"
        power = f", {card.power:.0f} of {card.power_limit:.0f} W" if card.power and card.power_limit else ""
        return Finding(
            f"{card.uuid} throttles because of {HELD[active[0]]}: {heat}{power}",
            (Evidence("nvidia-smi", f"{', '.join(active)}: active; {heat}{power}"),),
            steps=(_LOOK, _COOL if HELD[active[0]] == "heat" else _SUPPLY),
        )
    return _hot_cpu(case)


def _hot_cpu(case: HostEvidence) -> Finding | None:
    """A few such events are how a CPU ends a burst; hundreds are not."""
    if case.facts is None or any(row.size_vram for row in case.seen.loaded or ()):
        return None
    hits = signatures.hits(("cpu-throttled",), case.facts.kernel)
    last = max(hits, key=lambda hit: int(hit.groups.get("events", "0")), default=None)
    if last is None or int(last.groups.get("events", "0")) < OFTEN:
        return None
    return Finding(
        f"the CPU throttled {last.groups['events']} times because of heat",
        (Evidence("kernel log", excerpt(last.line, 160)),),
        Confidence.LIKELY,
        steps=(
            Step("Read temperatures and clocks under load.", "sensors; grep MHz /proc/cpuinfo"),
            Step("Clean the host, improve its cooling, and check that its fans turn."),
        ),
    )


def cpu_quota_or_no_avx(case: HostEvidence) -> Finding | None:
    """Models run on a CPU with a low quota, or on one that lacks AVX2.

    Ollama starts a thread for each core of the host. With a quota (`--cpus`, `CPUQuota=`) below that number the threads
    wait for each other. Virtual machines with the CPU type kvm64 or qemu64 hide AVX2.

    Signals:
    - less than 1 token per second
    - `cpu.max` of the cgroup below the cores; `nr_throttled` of `cpu.stat` grows
    - no `avx2` in /proc/cpuinfo

    Not to be confused with:
    - gpu-not-used: the host has a GPU that should run the models.
    - cpu-illegal-instruction: the runner crashes at once.

    Sources:
    - https://github.com/ollama/ollama/issues/10074
    """
    if wants_gpu(case) or any(row.size_vram for row in case.seen.loaded or ()):
        return None
    return _quota(case) or _without_avx(case)


def quota(case: HostEvidence) -> float | None:
    """Cores that the server may use, where something limits them."""
    ours = [box.cpus for box in case.traces.containers or () if box.serves and box.name == "ollama" and box.cpus]
    own = case.traces.cgroup.cpus if case.traces.cgroup else None
    return min((limit for limit in (own, *ours) if limit), default=None)


def _quota(case: HostEvidence) -> Finding | None:
    limit, cores = quota(case), case.facts.system.cpus if case.facts else None
    if limit is None or not cores or limit >= cores / 2:
        return None
    docker = case.settings.ollama_runtime == "docker"
    few = f"{limit:g} core{'' if limit == 1 else 's'}"
    return Finding(
        f"models run on the CPU, and the server may use only {limit:g} of {cores} cores",
        (Evidence("docker inspect" if docker else "cgroup cpu.max", f"{few}; the host has {cores}"),),
        Confidence.LIKELY,
        {"cores": str(cores)},
        steps=(
            _MORE_CORES[case.settings.ollama_runtime],
            Step(f'Or send requests with fewer threads: `"options": {{"num_thread": {max(1, int(limit))}}}`.'),
        ),
    )


def _without_avx(case: HostEvidence) -> Finding | None:
    flags = case.traces.cpu_flags
    if case.facts is None or case.facts.system.arch not in {"x86_64", "amd64"} or not flags or "avx2" in flags:
        return None
    model = case.traces.cpu_model or "CPU"
    virtual = any(mark in model.lower() for mark in VIRTUAL)
    step = (
        "Give the virtual machine the CPU type `host`, and restart it."
        if virtual
        else "Use a host with a newer CPU or with a GPU; this one has no AVX2."
    )
    return Finding(
        f"the CPU ({model}) has no AVX2; answers are several times slower without it",
        (Evidence("/proc/cpuinfo", f"{model}: no avx2{'' if 'avx' in flags else ', no avx'}"),),
        steps=(Step(step),),
    )


_LOOK = Step("Read temperature, fans and power under load.", "nvidia-smi -q -d TEMPERATURE,POWER,PERFORMANCE")
_COOL = Step("Clean the card and improve its cooling. A lower power limit (`nvidia-smi -pl`) causes less heat.")
_SUPPLY = Step("Check the power supply and the card's power cables; a lower power limit (`nvidia-smi -pl`) helps.")
_MORE_CORES = {
    "docker": Step("Give the container up to {cores} cores.", "docker update --cpus {cores} ollama"),
    "systemd": Step("Raise or remove `CPUQuota=` of the unit.", "sudo systemctl edit ollama"),
    "process": Step("Raise the CPU quota of the container or slice in which the server runs, up to {cores} cores."),
}

RULES = (
    Rule(
        thermal_or_power_throttle,
        Severity.WARNING,
        steps=(
            _LOOK,
            Step("If models run on the CPU, read its temperatures and clocks.", "sensors; grep MHz /proc/cpuinfo"),
            _COOL,
        ),
    ),
    Rule(
        cpu_quota_or_no_avx,
        Severity.WARNING,
        steps=(
            _MORE_CORES["docker"],
            _MORE_CORES["systemd"],
            Step("Give a virtual machine the CPU type `host`."),
        ),
        needs=("cgroup.txt",),
        verify="reaper-ops doctor {source} -l {host} --slow",
    ),
)
