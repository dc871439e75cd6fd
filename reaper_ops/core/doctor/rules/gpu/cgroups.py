"""Device rules of a container's cgroup: a GPU that works on the host, and not inside."""

from __future__ import annotations

import re

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import gpu_server
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.gpu import proof
from reaper_ops.core.doctor.rules.gpu.container import AGAIN, CDI
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.values import counted

NO_CGROUPS = re.compile(r"^[ \t]{0,64}no-cgroups[ \t]{0,64}=[ \t]{0,64}(true|false)", re.M)


def nvml_unknown_container(case: HostEvidence) -> Finding | None:
    """The container lost its GPU while it ran.

    systemd rewrote the device rules of the container's cgroup, as it does at every `daemon-reload`, and dropped the
    rules for the GPU. Devices that are given through CDI are not affected.

    Signals:
    - models run on the GPU for hours, then on the CPU
    - `Failed to initialize NVML: Unknown Error` inside the container, while nvidia-smi works on the host

    Not to be confused with:
    - no-cgroups-mismatch: the GPU never worked in a container.
    - nvidia-version-mismatch: nvidia-smi fails on the host too.

    Sources:
    - https://github.com/NVIDIA/nvidia-container-toolkit/issues/48
    - https://github.com/NVIDIA/nvidia-docker/issues/1730
    - docs/troubleshooting.mdx of Ollama
    """
    if not _unknown_error(case) or case.facts is None or no_cgroups_mismatch(case) is not None:
        return None
    docker = case.facts.docker
    evidence = [
        _inside(case),
        Evidence("nvidia-smi", f"{counted(len(case.facts.gpu.nvidia or ()), 'GPU')} on the host"),
    ]
    evidence += (
        [Evidence("docker info", f"cgroup driver {docker.cgroup_driver}")] if docker and docker.cgroup_driver else []
    )
    box = case.facts.container
    by_cdi = box is not None and any(name.startswith("nvidia.com/gpu=") for name in box.gpu)
    known = case.traces.toolkit_config is not None or gpu_server.started_with_gpu(case.facts)
    return proof.finding(
        case,
        "the container has lost its GPU, which works on the host",
        *evidence,
        confidence=Confidence.CERTAIN if known else Confidence.LIKELY,
        steps=(_REGAIN,) if by_cdi else (_REGAIN, *_for_good(case)),
    )


def _for_good(case: HostEvidence) -> tuple[Step, ...]:
    if case.settings.ollama_managed:
        return (Step("Prevent it: create the container again, with its GPU through CDI.", "{up}"),)
    return (CDI, Step("Prevent it: create the container again, with `--device nvidia.com/gpu=all`."))


def no_cgroups_mismatch(case: HostEvidence) -> Finding | None:
    """NVIDIA's container runtime is configured for the other kind of Docker.

    `no-cgroups = true` is for rootless Docker. An ordinary engine then allows no container to use the GPU's devices.
    Without it, rootless Docker fails because it has no permission to write device rules.

    Signals:
    - `Failed to initialize NVML: Unknown Error` from the start of the container
    - rootless: `bpf_prog_query(BPF_CGROUP_DEVICE) failed: operation not permitted`

    Not to be confused with:
    - nvml-unknown-container: the GPU worked for a while.

    Sources:
    - https://github.com/NVIDIA/nvidia-container-toolkit/issues/381
    - https://github.com/NVIDIA/nvidia-container-toolkit/issues/85
    - https://github.com/NVIDIA/libnvidia-container/issues/154
    """
    config, facts = case.traces.toolkit_config, case.facts
    if config is None or facts is None:
        return None
    setting = NO_CGROUPS.search(config)
    off = setting is not None and setting[1] == "true"
    written = Evidence("config.toml of the toolkit", excerpt(setting[0]) if setting else "no-cgroups is not set")
    rootless = case.traces.docker_kind == "rootless"
    if off and not rootless and (_unknown_error(case) or _inside_says(case, "gpu-blocked-by-os")):
        summary = "NVIDIA's runtime sets no device rules (no-cgroups = true), although this Docker is not rootless"
        return proof.finding(case, summary, written, _inside(case), steps=_ROOTFUL)
    error = facts.container.error if facts.container else ""
    hit = signatures.match("log", error) or signatures.match("log", case.traces.gpu_in_container or "")
    if not off and rootless and hit is not None and hit.signature.id == "rootless-cgroups":
        summary = "Docker is rootless, but NVIDIA's runtime tries to write device rules (no-cgroups is not true)"
        return proof.finding(case, summary, written, proof.as_evidence(hit, "docker inspect"), steps=_ROOTLESS)
    return None


def _unknown_error(case: HostEvidence) -> bool:
    works = case.facts is not None and bool(case.facts.gpu.nvidia) and case.facts.gpu.nvidia_error is None
    return works and _inside_says(case, "nvml-unknown")


def _inside_says(case: HostEvidence, id_: str) -> bool:
    hit = signatures.match("log", case.traces.gpu_in_container or "")
    return hit is not None and hit.signature.id == id_


def _inside(case: HostEvidence) -> Evidence:
    return Evidence("nvidia-smi -L in the container", excerpt(case.traces.gpu_in_container or ""))


_REGAIN = Step("Restart the container, which then has its GPU again.", "docker restart ollama", Automate.ASK, "restart")
_SET = "sudo nvidia-ctk config --set nvidia-container-cli.no-cgroups="
_ROOTFUL = (
    Step("Let NVIDIA's runtime set device rules.", f"{_SET}false --in-place"),
    Step("Restart Docker. This stops and starts all containers.", "sudo systemctl restart docker"),
)
_ROOTLESS = (
    Step("Let NVIDIA's runtime set no device rules.", f"{_SET}true --in-place"),
    Step(
        "Restart Docker as the user who runs it. This stops and starts all containers.",
        "systemctl --user restart docker",
    ),
    AGAIN,
)

RULES = (
    Rule(
        nvml_unknown_container,
        Severity.ERROR,
        steps=(
            _REGAIN,
            Step("Prevent it: create the container again, with its GPU through CDI.", "{up}"),
        ),
        explains=("gpu-not-used", "cpu-fallback"),
        verify="docker exec ollama nvidia-smi -L",
    ),
    Rule(
        no_cgroups_mismatch,
        Severity.ERROR,
        steps=_ROOTFUL,
        explains=("gpu-not-used", "cpu-fallback", "service-not-running", "connection-refused"),
        verify="docker exec ollama nvidia-smi -L",
    ),
)
