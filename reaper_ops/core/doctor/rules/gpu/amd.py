"""AMD: permission to open its device nodes, the cards that its libraries support, and its driver."""

from __future__ import annotations

import re

from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import gpu_amd, gpu_server
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.gpu import proof
from reaper_ops.core.doctor.rules.gpu_link import Link
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence

FORM = re.compile(r"\d{1,2}\.\d{1,2}\.\d{1,2}")
NEAREST = (("gfx103", "10.3.0"), ("gfx110", "11.0.0"), ("gfx115", "11.5.0"), ("gfx101", "10.3.0"))
IGPU = "OLLAMA_IGPU_ENABLE"
OFF = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def amd_kfd_permission(case: HostEvidence) -> Finding | None:
    """The server has no permission to open AMD's device nodes.

    The server's user is not in the groups that own /dev/kfd and /dev/dri/renderD*, or was added to them after the
    server started. A container needs the numeric ids of these groups.

    Signals:
    - `Unable to open /dev/kfd read-write`, `open /dev/kfd: permission denied`
    - `rocBLAS error: Could not initialize Tensile host: No devices found`

    Not to be confused with:
    - amd-driver-too-old: /dev/kfd is missing, or the search for GPUs times out.

    Sources:
    - https://github.com/ollama/ollama/pull/6736
    - https://github.com/ollama/ollama/issues/6685
    - https://github.com/ollama/ollama/issues/7723
    """
    facts = case.facts
    if facts is None or proof.vendor(case) != "amd" or gpu_server.in_gpu_memory(facts):
        return None
    link, hit = proof.broken(case, "amd-kfd-permission"), proof.log_line(case, "amd-kfd-permission")
    if link is None and (hit is None or not proof.unused(case)):
        return None
    evidence = _permissions(link) if link and link.link == "nodes" else []
    evidence += [proof.as_evidence(hit)] if hit else [proof.link_evidence(case, link)] if link and not evidence else []
    if case.settings.ollama_runtime == "docker":
        return proof.finding(case, "the container has no permission to open /dev/kfd", *evidence, steps=_NUMBERS)
    account = _account(case)
    values = {"account": account} if account else {}
    added = {"render", "video"} <= set(facts.user_groups or ()) and link is not None and facts.process is not None
    if added and account and "SupplementaryGroups" not in (case.traces.unit_text or ""):
        summary = f"the user {account} was added to the groups render and video after the server started"
        return proof.finding(case, summary, *evidence, values=values, steps=(_RESTART,))
    who = f"the server's user {account}" if account else "the server's user"
    summary = f"{who} has no permission to open AMD's device nodes"
    ours = case.settings.ollama_managed and case.settings.ollama_runtime == "systemd"
    by_hand = (_ADD if account else _ADD_SOMEONE, _RESTART)
    return proof.finding(case, summary, *evidence, values=values, steps=None if ours else by_hand)


def _permissions(link: Link) -> list[Evidence]:
    return [Evidence("server process", link.seen), Evidence("/dev", f"needs {link.missing}")]


def _account(case: HostEvidence) -> str:
    """The user of the server; empty where it is not known by name."""
    if case.settings.ollama_runtime == "systemd":
        return case.unit.get("User") or "ollama"
    pid = case.facts.process.pid if case.facts and case.facts.process else None
    user = next((row.user for row in case.traces.processes or () if row.pid == pid), "")
    return "" if user.isdigit() else user


def amd_gfx_unsupported(case: HostEvidence) -> Finding | None:
    """Ollama's ROCm libraries are not built for this AMD card.

    A card that is close to a supported one works when HSA_OVERRIDE_GFX_VERSION names that one, in the form x.y.z. For
    other cards there is Vulkan.

    Signals:
    - `amdgpu is not supported`, `dropping ROCm device — no rocblas support for gfx target`
    - models run on the CPU of a host with an RX 5000, RX 6600 or Radeon 780M

    Not to be confused with:
    - igpu-dropped: the target is supported, but Ollama ignores integrated GPUs.
    - amd-kfd-permission: the server cannot open the card at all.

    Sources:
    - docs/gpu.mdx of Ollama
    - https://github.com/ollama/ollama/issues/2718
    """
    facts = case.facts
    if facts is None or proof.vendor(case) != "amd" or not proof.unused(case):
        return None
    link, hit = proof.broken(case, "amd-gfx-unsupported"), proof.log_line(case, "amd-gfx-unsupported")
    written = case.environ.get(gpu_amd.OVERRIDE, "")
    if link is None and hit is None:
        return None
    evidence = [proof.link_evidence(case, link)] if link else []
    evidence += [proof.as_evidence(hit)] if hit and not (link and link.link == "server") else []
    if written and not FORM.fullmatch(written):
        variable = Evidence("environment of the server", f"{gpu_amd.OVERRIDE}={written}")
        summary = f"{gpu_amd.OVERRIDE} is {written!r}; it must have the form 10.3.0"
        return proof.finding(case, summary, variable, *evidence, values={"like": _like(case) or "10.3.0"})
    targets = ", ".join(card.gfx for card in facts.gpu.amd if card.gfx) or "this card"
    like = _like(case)
    steps = None if like and not written else _VULKAN
    return proof.finding(
        case, f"Ollama's ROCm libraries are not built for {targets}", *evidence, values={"like": like}, steps=steps
    )


def _like(case: HostEvidence) -> str:
    """The nearest supported target, in the form of the override; empty when none is near."""
    targets = [card.gfx or "" for card in case.facts.gpu.amd] if case.facts else []
    return next((like for prefix, like in NEAREST if any(gfx.startswith(prefix) for gfx in targets)), "")


def amd_driver_too_old(case: HostEvidence) -> Finding | None:
    """AMD's kernel driver is missing, or older than ROCm 7 needs.

    Ollama's libraries come from ROCm 7. With an older driver the search for GPUs hangs for half a minute, and then
    Ollama uses the CPU. Without /dev/kfd the card cannot compute.

    Signals:
    - the server starts slowly, then models run on the CPU
    - `failed to finish discovery before timeout`, `GPU discovery watchdog timed out`

    Not to be confused with:
    - gpu-discovery-slow: Ollama finds a GPU in the end.
    - amd-kfd-permission: the device nodes exist, but the server has no permission to open them.

    Sources:
    - docs/troubleshooting.mdx of Ollama
    """
    link = proof.broken(case, "amd-driver-too-old")
    if link is None or case.facts is None or proof.vendor(case) != "amd":
        return None
    if not proof.desired(case) and all(card.driver in {"radeon", "vfio-pci"} for card in case.facts.gpu.pci):
        return None
    if link.link == "module":
        return proof.finding(
            case, "AMD's kernel driver amdgpu is not loaded", proof.link_evidence(case, link), steps=_MODPROBE
        )
    if link.link == "nodes":
        box = case.facts.system.container
        summary = f"/dev/kfd is missing: {f'this {box} container was not given it' if box else _NO_COMPUTE}"
        return proof.finding(case, summary, proof.link_evidence(case, link), steps=_PASS_THROUGH if box else None)
    version = case.facts.gpu.driver
    driver = f"the amdgpu driver {version}" if version else "the kernel's amdgpu driver"
    summary = f"the search for AMD GPUs timed out; {driver} is probably older than ROCm 7 needs"
    return proof.finding(case, summary, proof.link_evidence(case, link), confidence=Confidence.LIKELY)


def igpu_dropped(case: HostEvidence) -> Finding | None:
    """Ollama ignores the integrated GPU.

    Since 0.30 Ollama uses an integrated GPU only when OLLAMA_IGPU_ENABLE is set; gfx1151 and those of NVIDIA are
    exceptions.

    Signals:
    - `dropping integrated GPU; to enable, set OLLAMA_IGPU_ENABLE=1`
    - models run on the CPU of an APU since 0.30

    Not to be confused with:
    - amd-gfx-unsupported: the libraries do not support the target; only the override or Vulkan helps.

    Sources:
    - discover/runner.go of Ollama
    """
    link, hit = proof.broken(case, "igpu-dropped"), proof.log_line(case, "igpu-dropped")
    refused = {str(case.settings.ollama_env.get(IGPU, "")), case.environ.get(IGPU, "")} & OFF
    if link is None or refused:
        return None
    evidence = proof.as_evidence(hit) if hit else proof.link_evidence(case, link)
    return proof.finding(case, "Ollama ignores the only GPU of this host, because it is an integrated one", evidence)


_NO_COMPUTE = "amdgpu is loaded without its compute driver (KFD)"
_ADD = Step("Add the server's user to the groups.", "sudo usermod -aG render,video {account}")
_ADD_SOMEONE = Step("Add the user that runs the server to the groups render and video.")
_RESTART = Step("Restart the server, which then has these groups.", "{restart}", Automate.ASK, "restart")
_NUMBERS = (
    Step("List the ids of the groups that own the device nodes.", "ls -ln /dev/kfd /dev/dri"),
    Step(
        "Create the container again with these ids: `up` does it; by hand, add `--group-add` for each id.",
        "{up}",
        Automate.ASK,
        "apply",
    ),
)
_VULKAN = (
    Step("Try Vulkan: set `ollama_env: {OLLAMA_VULKAN: true}` in the inventory, then apply it.", "{up}"),
    Step("Or run on the CPU on purpose: set `gpu_vendor: none`."),
)
_MODPROBE = (
    Step(
        "Load the driver. The kernel log shows why it was not loaded.",
        "sudo modprobe amdgpu; sudo dmesg | grep -i -e amdgpu -e firmware",
    ),
    Step("Restart Ollama.", "{restart}", Automate.ASK, "restart"),
)
_PASS_THROUGH = (
    Step("Pass /dev/kfd and /dev/dri to the container, in its configuration on the machine that runs it."),
    Step("Restart Ollama.", "{restart}", Automate.ASK, "restart"),
)

RULES = (
    Rule(
        amd_kfd_permission,
        Severity.ERROR,
        steps=(
            Step(
                "Apply the inventory: it gives the unit the groups of the device nodes.", "{up}", Automate.ASK, "apply"
            ),
        ),
        explains=("gpu-not-used", "cpu-fallback"),
    ),
    Rule(
        amd_gfx_unsupported,
        Severity.ERROR,
        steps=(
            Step(
                'Name the nearest card: set `ollama_env: {HSA_OVERRIDE_GFX_VERSION: "{like}"}` in the inventory, then'
                " apply it.",
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
                "Install AMD's driver for ROCm 7 (https://repo.radeon.com/amdgpu-install/), or a newer kernel.",
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
            Step("To use it, set `ollama_env: {OLLAMA_IGPU_ENABLE: true}` in the inventory, then apply it.", "{up}"),
            Step("Or run on the CPU on purpose: set `gpu_vendor: none`."),
        ),
        explains=("gpu-not-used", "cpu-fallback"),
        needs=("journal.log",),
    ),
)
