"""AMD: who may open its nodes, which cards its libraries know, and its driver."""

from __future__ import annotations

import re

from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import gpu_amd, gpu_server
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.gpu import proof
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence

FORM = re.compile(r"\d{1,2}\.\d{1,2}\.\d{1,2}")
NEAREST = (("gfx103", "10.3.0"), ("gfx110", "11.0.0"), ("gfx115", "11.5.0"), ("gfx101", "10.3.0"))
IGPU = "OLLAMA_IGPU_ENABLE"
OFF = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def amd_kfd_permission(case: HostEvidence) -> Finding | None:
    """The server may not open AMD's device nodes.

    Its user is in neither of the groups that own /dev/kfd and /dev/dri/renderD*, or was added after the server started;
    in a container the group's number has to be given.

    Signals:
    - `Unable to open /dev/kfd read-write`, `open /dev/kfd: permission denied`
    - `rocBLAS error: Could not initialize Tensile host: No devices found`

    Not to be confused with:
    - amd-driver-too-old: there /dev/kfd is missing, or the search for GPUs ends by time-out.

    Sources:
    - https://github.com/ollama/ollama/pull/6736
    - https://github.com/ollama/ollama/issues/6685
    - https://github.com/ollama/ollama/issues/7723
    """
    facts = case.facts
    if facts is None or proof.vendor(case) != "amd" or gpu_server.in_gpu_memory(facts):
        return None
    link, hit = proof.broken(case, "amd-kfd-permission"), proof.said(case, "amd-kfd-permission")
    if link is None and (hit is None or not proof.unused(case)):
        return None
    evidence = [proof.seen(case, link)] if link else []
    evidence += [proof.line(hit)] if hit and not (link and link.link == "server") else []
    if link is not None and link.link == "nodes":
        evidence.append(Evidence("/dev", f"needs {link.missing}"))
    account = case.unit.get("User") or ("ollama" if case.settings.ollama_runtime == "systemd" else "")
    values = {"account": account or "$USER"}
    added = {"render", "video"} <= set(facts.user_groups or ()) and link is not None and facts.process is not None
    if case.settings.ollama_runtime == "docker":
        return proof.found(case, "the container may not open /dev/kfd", *evidence, steps=_NUMBERS)
    if added and account and "SupplementaryGroups" not in (case.traces.unit_text or ""):
        summary = f"{account} was added to render and video after the server started"
        return proof.found(case, summary, *evidence, values=values, steps=(_RESTART,))
    summary = f"the server's user {account} may not open AMD's device nodes".replace("  ", " ")
    ours = case.settings.ollama_managed and case.settings.ollama_runtime == "systemd"
    return proof.found(case, summary, *evidence, values=values, steps=None if ours else (_ADD, _RESTART))


def amd_gfx_unsupported(case: HostEvidence) -> Finding | None:
    """Ollama's ROCm libraries are not built for this AMD card.

    Cards close to a supported one work when HSA_OVERRIDE_GFX_VERSION names that one, as x.y.z; for others there is
    Vulkan.

    Signals:
    - `amdgpu is not supported`, `dropping ROCm device — no rocblas support for gfx target`
    - models on the CPU on RX 5000, RX 6600, Radeon 780M

    Not to be confused with:
    - igpu-dropped: there the target is supported, and Ollama leaves integrated GPUs out.
    - amd-kfd-permission: there the server cannot ask the card at all.

    Sources:
    - docs/gpu.mdx of Ollama
    - https://github.com/ollama/ollama/issues/2718
    """
    facts = case.facts
    if facts is None or proof.vendor(case) != "amd" or not proof.unused(case):
        return None
    link, hit = proof.broken(case, "amd-gfx-unsupported"), proof.said(case, "amd-gfx-unsupported")
    written = case.environ.get(gpu_amd.OVERRIDE, "")
    if link is None and hit is None:
        return None
    evidence = [proof.seen(case, link)] if link else []
    evidence += [proof.line(hit)] if hit and not (link and link.link == "server") else []
    if written and not FORM.fullmatch(written):
        said = Evidence("environment of the server", f"{gpu_amd.OVERRIDE}={written}")
        summary = f"{gpu_amd.OVERRIDE} is {written!r}, which is not of the form 10.3.0, and is not understood"
        return proof.found(case, summary, said, *evidence, values={"like": _like(case) or "10.3.0"})
    targets = ", ".join(card.gfx for card in facts.gpu.amd if card.gfx) or "this card"
    like = _like(case)
    steps = None if like and not written else _VULKAN
    return proof.found(
        case, f"Ollama's ROCm libraries are not built for {targets}", *evidence, values={"like": like}, steps=steps
    )


def _like(case: HostEvidence) -> str:
    """The supported target that is nearest to the card, as the override wants it; empty when none is near."""
    targets = [card.gfx or "" for card in case.facts.gpu.amd] if case.facts else []
    return next((like for prefix, like in NEAREST if any(gfx.startswith(prefix) for gfx in targets)), "")


def amd_driver_too_old(case: HostEvidence) -> Finding | None:
    """AMD's kernel driver is missing, or older than ROCm 7 needs.

    Ollama's libraries are of ROCm 7; over an older driver the search for GPUs hangs for half a minute, and Ollama goes
    on with the CPU. Without /dev/kfd nothing can compute.

    Signals:
    - a slow start, then models on the CPU
    - `failed to finish discovery before timeout`, `GPU discovery watchdog timed out`

    Not to be confused with:
    - gpu-discovery-slow: there a GPU is found in the end.
    - amd-kfd-permission: there the nodes exist, and may not be opened.

    Sources:
    - docs/troubleshooting.mdx of Ollama
    """
    link = proof.broken(case, "amd-driver-too-old")
    if link is None or case.facts is None or proof.vendor(case) != "amd":
        return None
    if not proof.wished(case) and all(card.driver in {"radeon", "vfio-pci"} for card in case.facts.gpu.pci):
        return None
    if link.link == "module":
        return proof.found(case, "AMD's kernel driver amdgpu is not loaded", proof.seen(case, link), steps=_MODPROBE)
    if link.link == "nodes":
        return proof.found(
            case, "/dev/kfd is missing: amdgpu is loaded without its compute part", proof.seen(case, link)
        )
    version = case.facts.gpu.driver
    summary = f"the search for AMD GPUs timed out; the driver {version or 'of the kernel'} is older than ROCm 7"
    return proof.found(case, summary, proof.seen(case, link), confidence=Confidence.LIKELY)


def igpu_dropped(case: HostEvidence) -> Finding | None:
    """Ollama leaves the integrated GPU out.

    Since 0.30 integrated GPUs are not used unless asked for; only gfx1151 and those of NVIDIA are.

    Signals:
    - `dropping integrated GPU; to enable, set OLLAMA_IGPU_ENABLE=1`
    - an APU on the CPU since 0.30

    Not to be confused with:
    - amd-gfx-unsupported: there no variable but the override helps.

    Sources:
    - discover/runner.go of Ollama
    """
    link, hit = proof.broken(case, "igpu-dropped"), proof.said(case, "igpu-dropped")
    refused = {str(case.settings.ollama_env.get(IGPU, "")), case.environ.get(IGPU, "")} & OFF
    if link is None or refused:
        return None
    evidence = proof.line(hit) if hit else proof.seen(case, link)
    return proof.found(case, "Ollama leaves the only GPU, an integrated one, out", evidence)


_ADD = Step("Add its user to the groups.", "sudo usermod -aG render,video {account}")
_RESTART = Step("Restart the server: groups count from its start.", "{restart}", Automate.ASK, "restart")
_NUMBERS = (
    Step("See the numbers of the groups that own the nodes.", "ls -ln /dev/kfd /dev/dri"),
    Step(
        "Make the container anew with `--group-add` and these numbers; `up` does so for ours.",
        "{up}",
        Automate.ASK,
        "apply",
    ),
)
_VULKAN = (
    Step("Try Vulkan: `ollama_env: {OLLAMA_VULKAN: true}` in the inventory, then bring the host to it.", "{up}"),
    Step("Or say that the CPU is meant: `gpu_vendor: none`."),
)
_MODPROBE = (
    Step("Load it, and see why it was not.", "sudo modprobe amdgpu; sudo dmesg | grep -i -e amdgpu -e firmware"),
    Step("Restart Ollama.", "{restart}", Automate.ASK, "restart"),
)

RULES = (
    Rule(
        amd_kfd_permission,
        Severity.ERROR,
        steps=(Step("Bring its unit to the wish: it names the nodes' groups.", "{up}", Automate.ASK, "apply"),),
        explains=("gpu-not-used", "cpu-fallback"),
    ),
    Rule(
        amd_gfx_unsupported,
        Severity.ERROR,
        steps=(
            Step(
                'Name the nearest card: `ollama_env: {HSA_OVERRIDE_GFX_VERSION: "{like}"}` in the inventory, then bring'
                " the host to it.",
                "{up}",
            ),
            *_VULKAN,
        ),
        explains=("gpu-not-used", "cpu-fallback"),
        needs=("journal.log",),
    ),
    Rule(
        amd_driver_too_old,
        Severity.ERROR,
        steps=(
            Step(
                "Install AMD's driver of ROCm 7 (repo.radeon.com/amdgpu-install), or a newer kernel.",
                "sudo amdgpu-install --usecase=dkms",
            ),
            Step("Reboot.", "sudo reboot"),
        ),
        explains=("gpu-not-used", "cpu-fallback", "gpu-discovery-slow"),
        needs=("journal.log",),
    ),
    Rule(
        igpu_dropped,
        Severity.WARNING,
        steps=(
            Step("If it shall be used: `ollama_env: {OLLAMA_IGPU_ENABLE: true}` in the inventory, then", "{up}"),
            Step("If not: `gpu_vendor: none` says that the CPU is meant."),
        ),
        explains=("gpu-not-used", "cpu-fallback"),
        needs=("journal.log",),
    ),
)
