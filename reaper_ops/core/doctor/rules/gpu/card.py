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
BY_PROGRAM = {"13": "an instruction of the program", "31": "a wrong address", "43": "a reset", "45": "an ended program"}
BY_CARD = {
    "48": "an uncorrectable memory error",
    "62": "a fault of its controller",
    "64": "a memory row that cannot be replaced",
    "74": "a fault of NVLink",
    "79": "it has fallen off the bus",
    "94": "a contained memory error",
    "95": "an uncontained memory error",
    "119": "its system processor (GSP) does not answer",
    "120": "its system processor (GSP) failed",
}
CPU_SETS = ("avx", "avx2", "f16c", "fma", "bmi2")


def visible_devices_misset(case: HostEvidence) -> Finding | None:
    """A variable hides the GPU from the server.

    CUDA_VISIBLE_DEVICES and its kin name GPUs by number or UUID; after a change of hardware a name may be stale. A name
    that does not exist hides all that follow it; `-1` hides all.

    Signals:
    - `user overrode visible devices` in the server's log, and models on the CPU or on the wrong card

    Not to be confused with:
    - nvidia-driver-missing: there nvidia-smi shows no card either.

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
            proof.seen(case, link),
            Evidence("inventory", f"gpu_devices: {', '.join(case.settings.gpu_devices)}"),
        )
        steps = (
            Step("Take the UUIDs of `nvidia-smi -L` into gpu_devices.", "nvidia-smi -L"),
            Step("Bring the host to it.", "{up}"),
        )
        return proof.found(case, f"gpu_devices names {link.missing}, which this host has not", *evidence, steps=steps)
    named = [(name, case.environ[name]) for name in VARIABLES.get(proof.vendor(case), ()) if case.environ.get(name)]
    wrong = next(((name, value, absent) for name, value in named if (absent := _absent(case, value))), None)
    if wrong is not None and proof.unused(case):
        name, value, absent = wrong
        summary = f"{name}={value} hides the GPU: {'it says none' if absent == '-1' else f'{absent} is not there'}"
        return proof.found(case, summary, Evidence("environment of the server", f"{name}={value}"), *_logged(case))
    if link is None:
        return None
    return proof.found(
        case,
        "a variable names the GPUs, and the server sees none",
        proof.seen(case, link),
        confidence=Confidence.LIKELY,
    )


def _absent(case: HostEvidence, value: str) -> str:
    """The first name of the list when the host lacks it, which hides all; empty where that cannot be told."""
    facts, first = case.facts, value.split(",")[0].strip()
    if first == "-1" or facts is None:
        return first if facts else ""
    there = facts.gpu.nvidia if proof.vendor(case) == "nvidia" else facts.gpu.amd
    if first.isdigit():
        return first if there and int(first) >= len(there) else ""
    uuids = [gpu.uuid for gpu in facts.gpu.nvidia or ()] + list(facts.gpu.mig)
    return first if uuids and not any(uuid.startswith(first) for uuid in uuids) else ""


def _logged(case: HostEvidence) -> tuple[Evidence, ...]:
    hit = proof.said(case, "visible-devices")
    return (proof.line(hit),) if hit else ()


def gpu_xid_fault(case: HostEvidence) -> Finding | None:
    """The card or its driver has failed.

    NVIDIA's driver reports faults to the kernel's log as Xid numbers: 79 and 119 are power, slot or firmware; 48, 64,
    94 and 95 are memory; 13, 31, 43 and 45 are mostly the program's own.

    Signals:
    - `NVRM: Xid (PCI:0000:3b:00): 79, … GPU has fallen off the bus.`
    - `Unable to determine the device handle`, CUDA errors, requests that hang

    Not to be confused with:
    - nvidia-uvm-stale: there is no Xid, and nvidia-smi works.
    - vram-oom-runtime: a full card makes no Xid.

    Sources:
    - https://docs.nvidia.com/deploy/xid-errors/
    """
    if case.facts is None or case.settings.gpu_vendor == "none":
        return None
    link = proof.broken(case, "gpu-xid-fault")
    hits = [hit for hit in proof.kernel(case, "gpu-xid") if _counts(case, hit.groups["xid"], hit.line)]
    if link is None and not hits:
        return None
    evidence = [proof.line(hit, "kernel log") for hit in hits[-2:]] + ([proof.seen(case, link)] if link else [])
    if not hits:
        return proof.found(case, "the card or its driver does not answer", *evidence, confidence=Confidence.LIKELY)
    last = next((hit for hit in reversed(hits) if hit.groups["xid"] in BY_CARD), hits[-1])
    xid, pci = last.groups["xid"], last.groups["pci"].removeprefix("PCI:")
    means = BY_CARD.get(xid) or BY_PROGRAM.get(xid)
    summary = f"the card {pci} reported a fault (Xid {xid}{f', {means}' if means else ''})"
    steps = None if xid in BY_CARD else _BY_PROGRAM
    return proof.found(case, summary, *evidence, steps=steps, values={"pci": pci})


def _counts(case: HostEvidence, xid: str, line: str) -> bool:
    """A fault of the card counts until the next boot, one of a program when it was ours and in this run."""
    if xid in BY_CARD:
        return True
    then, start = proof.moment(line), proof.started(case)
    ours = re.search(r"name=(?:\S{0,256}/)?(?:ollama|llama)", line) is not None
    return xid in BY_PROGRAM and ours and (then is None or start is None or then >= start)


def cpu_illegal_instruction(case: HostEvidence) -> Finding | None:
    """The processor lacks an instruction that the program was built with.

    Virtual machines of type kvm64 or qemu64 hide AVX, or show an inconsistent set, such as f16c without avx.

    Signals:
    - `signal: illegal instruction`, `exit status 0xc000001d`
    - `trap invalid opcode` in the kernel's log

    Not to be confused with:
    - runner-crash-other: any other signal.
    - cpu-quota-or-no-avx: there it runs, slowly.

    Sources:
    - https://github.com/ollama/ollama/issues/644
    - https://github.com/ollama/ollama/issues/10074
    - https://github.com/t0mer/Find-my-kids/issues/1
    """
    traps = [hit for hit in proof.kernel(case, "cpu-trap") if proof.since_start(case, hit)]
    logged = proof.said(case, "runner-sigill")
    answered = case.blamed("cpu-illegal-instruction")
    if not traps and logged is None and answered is None:
        return None
    evidence = [proof.line(hit, "kernel log") for hit in traps[-1:]] + ([proof.line(logged)] if logged else [])
    evidence += list(answered.evidence[:1]) if answered else []
    flags = case.traces.cpu_flags
    lacking = [name for name in CPU_SETS if flags is not None and name not in flags]
    if flags is not None:
        said = f"{case.traces.cpu_model or 'unknown model'}; " + (
            f"without {', '.join(lacking)}" if lacking else "AVX2 is there"
        )
        evidence.append(Evidence("/proc/cpuinfo", said))
    summary = "a model's process used an instruction that this processor has not"
    return Finding(summary + (f" ({', '.join(lacking)})" if lacking else ""), tuple(dict.fromkeys(evidence)))


_APPLY = Step("Bring the host to the inventory's wish.", "{up}", Automate.ASK, "apply")
_BY_PROGRAM = (
    Step(
        "Load the model again; when it comes back, upgrade Ollama and the driver.", "{restart}", Automate.ASK, "restart"
    ),
    Step("When other programs fail too, test the card.", "dcgmi diag -r 2"),
)

RULES = (
    Rule(
        visible_devices_misset,
        Severity.ERROR,
        steps=(
            Step(
                "Remove the variable where it is set, or name UUIDs that exist in `gpu_devices`.",
                "systemctl cat ollama | grep -i -n visible",
            ),
            _APPLY,
        ),
        explains=("gpu-not-used", "cpu-fallback"),
    ),
    Rule(
        gpu_xid_fault,
        Severity.ERROR,
        steps=(
            Step(
                "See what else the driver said.", "sudo dmesg -T | grep -i NVRM; nvidia-smi -q -d ECC,PAGE_RETIREMENT"
            ),
            Step("Reboot; for 79 switch the machine off and check power and seat of the card.", "sudo reboot"),
            Step("When it comes back (48, 64, 94, 95, 79): have the card tested and replaced.", "dcgmi diag -r 3"),
        ),
        explains=("gpu-not-used", "runner-crash-other", "cpu-fallback"),
        needs=("kernel.log",),
    ),
    Rule(
        cpu_illegal_instruction,
        Severity.ERROR,
        steps=(
            Step(
                "Give the virtual machine the processor type `host` (Proxmox: Hardware, Processor), and start it anew."
            ),
            Step("On real hardware without AVX: use a newer Ollama, which chooses a build that fits.", "{up}"),
        ),
        explains=("runner-crash-other", "degraded", "http-error"),
        needs=("journal.log", "kernel.log"),
    ),
)
