"""Variables that hide the card, the card itself, and the CPU."""

from __future__ import annotations

import re

from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import gpu_server
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.gpu import proof
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence

VARIABLES = {
    "nvidia": ("CUDA_VISIBLE_DEVICES",),
    "amd": ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"),
}
BY_PROGRAM = {
    "13": "a graphics engine exception",
    "31": "a memory page fault",
    "43": "the GPU stopped processing",
    "45": "the program was ended",
}
BY_CARD = {
    "48": "an uncorrectable memory error",
    "62": "its microcontroller halted",
    "64": "a faulty memory row that cannot be replaced",
    "74": "an NVLink error",
    "79": "it has fallen off the bus",
    "94": "a contained memory error",
    "95": "an uncontained memory error",
    "119": "its system processor (GSP) does not answer",
    "120": "its system processor (GSP) failed",
}
CPU_SETS = ("avx", "avx2", "f16c", "fma", "bmi2")


def visible_devices_misset(case: HostEvidence) -> Finding | None:
    """A variable hides the GPU from the server.

    CUDA_VISIBLE_DEVICES and similar variables name GPUs by index or UUID, and a name may be stale after a change of
    hardware. A name that does not exist hides itself and all that follow; `-1` hides every GPU.

    Signals:
    - `user overrode visible devices` in the server log, and models run on the CPU or on the wrong card

    Not to be confused with:
    - nvidia-driver-missing: nvidia-smi shows no card either.

    Sources:
    - docs/gpu.mdx of Ollama
    - https://github.com/ollama/ollama/issues/13498
    """
    facts = case.facts
    if facts is None or gpu_server.in_gpu_memory(facts):
        return None
    link = proof.broken(case, "visible-devices-misset")
    if link is not None and link.link == "driver":
        evidence = (
            proof.link_evidence(case, link),
            Evidence("inventory", f"gpu_devices: {', '.join(case.settings.gpu_devices)}"),
        )
        steps = (
            Step("Set `gpu_devices` in the inventory to UUIDs from this list.", "nvidia-smi -L"),
            Step("Apply the inventory.", "{up}"),
        )
        summary = f"gpu_devices names {link.missing}, which this host does not have"
        return proof.finding(case, summary, *evidence, steps=steps)
    named = [(name, case.environ[name]) for name in VARIABLES.get(proof.vendor(case), ()) if case.environ.get(name)]
    wrong = next(((name, value, absent) for name, value in named if (absent := _absent(case, value))), None)
    if wrong is not None and proof.unused(case):
        name, value, absent = wrong
        why = "hides every GPU" if absent == "-1" else f"hides the GPU: this host has no GPU {absent}"
        variable = Evidence("environment of the server", f"{name}={value}")
        return proof.finding(case, f"{name}={value} {why}", variable, *_logged(case), steps=_unset(case, name.lower()))
    if link is None:
        return None
    summary = "a variable limits the GPUs that the server may use, and the server finds none"
    unset = _unset(case, "visible_devices")
    return proof.finding(case, summary, proof.link_evidence(case, link), confidence=Confidence.LIKELY, steps=unset)


def _unset(case: HostEvidence, variable: str) -> tuple[Step, ...]:
    """Where the variable may be set; `up` writes only those of the inventory."""
    text = "Find where the variable is set, and remove it there. To choose GPUs, set `gpu_devices` in the inventory."
    where = {
        "systemd": f"systemctl cat ollama | grep -i -n {variable}",
        "docker": f"docker inspect ollama | grep -i -n {variable}",
    }
    return (Step(text, where.get(case.settings.ollama_runtime, f"env | grep -i {variable}")), _APPLY)


def _absent(case: HostEvidence, value: str) -> str:
    """The first name of the list when the host lacks it, which hides all; empty where that is not known."""
    facts, first = case.facts, value.split(",")[0].strip()
    if first == "-1" or facts is None:
        return first if facts else ""
    there = facts.gpu.nvidia if proof.vendor(case) == "nvidia" else facts.gpu.amd
    if first.isdigit():
        return first if there and int(first) >= len(there) else ""
    uuids = [gpu.uuid for gpu in facts.gpu.nvidia or ()] + list(facts.gpu.mig)
    return first if uuids and not any(uuid.startswith(first) for uuid in uuids) else ""


def _logged(case: HostEvidence) -> tuple[Evidence, ...]:
    hit = proof.log_line(case, "visible-devices")
    return (proof.as_evidence(hit),) if hit else ()


def gpu_xid_fault(case: HostEvidence) -> Finding | None:
    """The card or its driver has failed.

    NVIDIA's driver reports faults in the kernel log as Xid numbers. 79 and 119 point to power, slot or firmware; 48,
    64, 94 and 95 to memory; 13, 31, 43 and 45 mostly to the program.

    Signals:
    - `NVRM: Xid (PCI:0000:3b:00): 79, … GPU has fallen off the bus.`
    - `Unable to determine the device handle`, CUDA errors, requests that hang

    Not to be confused with:
    - nvidia-uvm-stale: there is no Xid, and nvidia-smi works.
    - vram-oom-runtime: a full card causes no Xid.

    Sources:
    - https://docs.nvidia.com/deploy/xid-errors/
    """
    if case.facts is None or case.settings.gpu_vendor == "none":
        return None
    link = proof.broken(case, "gpu-xid-fault")
    hits = [hit for hit in proof.kernel_lines(case, "gpu-xid") if _counts(case, hit.groups["xid"], hit.line)]
    if link is None and not hits:
        return None
    evidence = [proof.as_evidence(hit, "kernel log") for hit in hits[-2:]] + (
        [proof.link_evidence(case, link)] if link else []
    )
    if not hits:
        return proof.finding(case, "the GPU or its driver does not respond", *evidence, confidence=Confidence.LIKELY)
    last = next((hit for hit in reversed(hits) if hit.groups["xid"] in BY_CARD), hits[-1])
    xid, pci = last.groups["xid"], last.groups["pci"].removeprefix("PCI:")
    means = BY_CARD.get(xid) or BY_PROGRAM.get(xid)
    summary = f"GPU {pci} reported Xid {xid}{f': {means}' if means else ''}"
    steps = _OFF_THE_BUS if xid == "79" else _RESET if xid in BY_CARD else _BY_PROGRAM
    return proof.finding(case, summary, *evidence, steps=steps, values={"pci": pci})


def _counts(case: HostEvidence, xid: str, line: str) -> bool:
    """A fault of the card counts until the next boot, one of a program only when it is Ollama, in this run."""
    if xid in BY_CARD:
        return True
    then, start = proof.timestamp(line), proof.server_start(case)
    ours = re.search(r"name=(?:\S{0,256}/)?(?:ollama|llama)", line) is not None
    return xid in BY_PROGRAM and ours and (then is None or start is None or then >= start)


def cpu_illegal_instruction(case: HostEvidence) -> Finding | None:
    """The processor lacks an instruction that Ollama's runner uses.

    Virtual machines with the CPU type kvm64 or qemu64 hide AVX, or show an inconsistent set, such as f16c without avx.

    Signals:
    - `signal: illegal instruction`, `exit status 0xc000001d`
    - `trap invalid opcode` in the kernel log

    Not to be confused with:
    - runner-crash-other: any other signal.
    - cpu-quota-or-no-avx: the runner works, but slowly.

    Sources:
    - https://github.com/ollama/ollama/issues/644
    - https://github.com/ollama/ollama/issues/10074
    - https://github.com/t0mer/Find-my-kids/issues/1
    """
    traps = [hit for hit in proof.kernel_lines(case, "cpu-trap") if proof.since_start(case, hit)]
    logged = proof.log_line(case, "runner-sigill")
    answered = case.verdict_of("cpu-illegal-instruction")
    if not traps and logged is None and answered is None:
        return None
    evidence = [proof.as_evidence(hit, "kernel log") for hit in traps[-1:]] + (
        [proof.as_evidence(logged)] if logged else []
    )
    evidence += list(answered.evidence[:1]) if answered else []
    flags = case.traces.cpu_flags
    lacking = [name for name in CPU_SETS if flags is not None and name not in flags]
    if flags is not None:
        sets = f"no {', '.join(lacking)}" if lacking else "has AVX2"
        evidence.append(Evidence("/proc/cpuinfo", f"{case.traces.cpu_model or 'unknown model'}: {sets}"))
    summary = "the runner crashed on an instruction that this processor does not have"
    virtual = any(mark in (case.traces.cpu_model or "").lower() for mark in VIRTUAL)
    return Finding(
        summary + (f" (it lacks {', '.join(lacking)})" if lacking else ""),
        tuple(dict.fromkeys(evidence)),
        steps=(_CPU_TYPE,) if virtual else (_NEWER, _OTHER_HOST) if case.traces.cpu_model else None,
    )


_APPLY = Step("Apply the inventory.", "{up}", Automate.ASK, "apply")
_BY_PROGRAM = (
    Step(
        "Restart the server to load the model again. If the fault returns, upgrade Ollama and the driver.",
        "{restart}",
        Automate.ASK,
        "restart",
    ),
    Step("If other programs fail too, test the card.", "dcgmi diag -r 2"),
)
_MORE = Step(
    "Read what else the driver reported.", "sudo dmesg -T | grep -i NVRM; nvidia-smi -q -d ECC,PAGE_RETIREMENT"
)
_TEST = Step("If the fault returns, test the card, and replace it if the test fails.", "dcgmi diag -r 3")
_OFF_THE_BUS = (
    _MORE,
    Step("Power the host off, check the card's seat and power cables, then start it again.", "sudo poweroff"),
    _TEST,
)
_RESET = (_MORE, Step("Reboot, which resets the card.", "sudo reboot"), _TEST)
_CPU_TYPE = Step("Give the virtual machine the CPU type `host` (Proxmox: Hardware, Processors), and restart it.")
_NEWER = Step("Upgrade Ollama: newer versions choose a build that fits the processor.", "{up}")
_OTHER_HOST = Step("If that does not help, use a host whose processor has AVX2.")
VIRTUAL = ("qemu", "kvm", "virtual")

RULES = (
    Rule(
        visible_devices_misset,
        Severity.ERROR,
        steps=(Step("Remove the variable where it is set, or set `gpu_devices` to UUIDs that exist."), _APPLY),
        explains=("gpu-not-used", "cpu-fallback"),
    ),
    Rule(
        gpu_xid_fault,
        Severity.ERROR,
        steps=(
            _MORE,
            Step("Reboot. For Xid 79, power the host off and check the card's seat and power cables.", "sudo reboot"),
            _TEST,
        ),
        explains=("gpu-not-used", "runner-crash-other", "cpu-fallback"),
        needs=("kernel.log",),
    ),
    Rule(
        cpu_illegal_instruction,
        Severity.ERROR,
        steps=(_CPU_TYPE, _NEWER, _OTHER_HOST),
        explains=("runner-crash-other", "degraded", "http-error"),
        needs=("journal.log", "kernel.log"),
    ),
)
