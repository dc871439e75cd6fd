"""The GPU on its way into a container."""

from __future__ import annotations

import re

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.gpu import proof
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence

NO_CGROUPS = re.compile(r"^[ \t]{0,64}no-cgroups[ \t]{0,64}=[ \t]{0,64}(true|false)", re.M)
KINDS = {"snap": "the Docker of a snap", "desktop": "Docker Desktop"}


def container_no_gpu_flag(case: HostEvidence) -> Finding | None:
    """The container was started without a GPU.

    The host has one; `--gpus all`, or the reservation in the Compose file, is missing. AMD needs two device nodes.

    Signals:
    - models on the CPU, and no error anywhere

    Not to be confused with:
    - container-toolkit-missing: there the engine cannot give a GPU to anyone.
    - nvml-unknown-container: there the container had its GPU, and lost it.

    Sources:
    - docs/docker.mdx of Ollama
    - https://github.com/ollama/ollama/issues/1666
    """
    facts = case.facts
    if facts is None or facts.container is None or not proof.unused(case) or case.traces.docker_kind in KINDS:
        return None
    link, given = proof.broken(case, "container-no-gpu-flag"), facts.container.gpu
    if link is not None:
        return proof.found(case, "the container was given no GPU; the host has one", proof.seen(case, link))
    if proof.vendor(case) != "amd" or facts.container.state != "running" or case.gpu_link is None:
        return None
    lacking = [node for node in ("/dev/kfd", "/dev/dri") if not any(name.startswith(node) for name in given)]
    if not given or not lacking:
        return None
    evidence = Evidence("docker inspect", f"devices {', '.join(given)}")
    return proof.found(case, f"the container lacks {' and '.join(lacking)}; AMD's cards need both nodes", evidence)


def container_toolkit_missing(case: HostEvidence) -> Finding | None:
    """Docker cannot give containers the NVIDIA GPU.

    The NVIDIA Container Toolkit is not installed, or neither a CDI specification nor the runtime `nvidia` was made.

    Signals:
    - `could not select device driver "" with capabilities: [[gpu]]`
    - the container does not start; from outside: connection refused

    Not to be confused with:
    - docker-is-snap-or-desktop: there the toolkit is installed, and that engine cannot use it.
    - container-no-gpu-flag: there the container starts, without a GPU.

    Sources:
    - docs/docker.mdx of Ollama
    - https://github.com/NVIDIA/nvidia-container-toolkit/issues/871
    """
    link = proof.broken(case, "container-toolkit-missing")
    if link is None or case.facts is None or case.traces.docker_kind in KINDS:
        return None
    box = case.facts.container
    if box is not None and box.state == "running" and not proof.unused(case):
        return None
    toolkit = case.facts.gpu.toolkit
    error = box.error if box else ""
    hit = signatures.match("log", error)
    if hit is not None and hit.signature.id != "toolkit-missing":
        return None
    said = (Evidence("docker inspect", excerpt(error)),) if error and link.link != "container" else ()
    untold = f"the toolkit {toolkit} is installed, and the engine was not told of it"
    return proof.found(
        case,
        f"Docker cannot give containers the GPU: {untold if toolkit else 'no toolkit is installed'}",
        proof.seen(case, link),
        *said,
        steps=(_CONFIGURE, _APPLY) if toolkit else None,
        confidence=Confidence.CERTAIN if hit or link.link == "toolkit" else Confidence.POSSIBLE,
    )


def docker_is_snap_or_desktop(case: HostEvidence) -> Finding | None:
    """This kind of Docker cannot reach the GPU.

    A snap is confined and does not see NVIDIA's toolkit; Docker Desktop runs containers in a virtual machine of its
    own.

    Signals:
    - `could not select device driver` although the toolkit is installed
    - volumes that are not where they should be

    Not to be confused with:
    - container-toolkit-missing: there the engine is an ordinary one.

    Sources:
    - https://github.com/NVIDIA/nvidia-docker/issues/1642
    - https://github.com/NVIDIA/nvidia-docker/issues/1311
    """
    kind, link = case.traces.docker_kind, case.gpu_link
    if kind not in KINDS or link is None or link.link not in {"toolkit", "container", "server"}:
        return None
    root = case.facts.docker.root if case.facts and case.facts.docker else None
    evidence = Evidence("docker info", f"kind {kind}, root directory {root or 'unknown'}")
    return proof.found(case, f"{KINDS[kind]} cannot give containers the GPU", evidence, proof.seen(case, link))


def nvml_unknown_container(case: HostEvidence) -> Finding | None:
    """The container has lost its GPU while it ran.

    systemd rewrote the device rules of its cgroup, as it does at every `daemon-reload`; the runtime's own rules for the
    GPU are gone. Devices that are given by CDI are not affected.

    Signals:
    - GPU for hours, then CPU
    - `Failed to initialize NVML: Unknown Error` inside the container, while nvidia-smi works on the host

    Not to be confused with:
    - no-cgroups-mismatch: there it never worked.
    - nvidia-version-mismatch: there nvidia-smi fails on the host too.

    Sources:
    - https://github.com/NVIDIA/nvidia-container-toolkit/issues/48
    - https://github.com/NVIDIA/nvidia-docker/issues/1730
    - docs/troubleshooting.mdx of Ollama
    """
    if not _unknown_error(case) or case.facts is None or no_cgroups_mismatch(case) is not None:
        return None
    docker = case.facts.docker
    evidence = [_inside(case), Evidence("nvidia-smi", f"on the host: {len(case.facts.gpu.nvidia or ())} GPU")]
    evidence += (
        [Evidence("docker info", f"cgroup driver {docker.cgroup_driver}")] if docker and docker.cgroup_driver else []
    )
    return proof.found(case, "the container has lost its GPU; on the host it works", *evidence)


def no_cgroups_mismatch(case: HostEvidence) -> Finding | None:
    """NVIDIA's container runtime is set up for the other kind of Docker.

    `no-cgroups = true` is for rootless Docker. With an ordinary engine nobody then allows the GPU's devices; without it
    a rootless one may not write the rules.

    Signals:
    - `Failed to initialize NVML: Unknown Error` from the first second
    - rootless: `bpf_prog_query(BPF_CGROUP_DEVICE) failed: operation not permitted`

    Not to be confused with:
    - nvml-unknown-container: there the GPU worked for a while.

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
        summary = (
            "NVIDIA's runtime leaves the device rules to nobody (no-cgroups = true), and this Docker is not rootless"
        )
        return proof.found(case, summary, written, _inside(case), values={"wanted": "false"})
    said = facts.container.error if facts.container else ""
    hit = signatures.match("log", said) or signatures.match("log", case.traces.gpu_in_container or "")
    if not off and rootless and hit is not None and hit.signature.id == "rootless-cgroups":
        summary = "Docker is rootless, and NVIDIA's runtime tries to write device rules (no-cgroups is not true)"
        return proof.found(case, summary, written, proof.line(hit, "docker inspect"), values={"wanted": "true"})
    return None


def _unknown_error(case: HostEvidence) -> bool:
    works = case.facts is not None and bool(case.facts.gpu.nvidia) and case.facts.gpu.nvidia_error is None
    return works and _inside_says(case, "nvml-unknown")


def _inside_says(case: HostEvidence, id_: str) -> bool:
    hit = signatures.match("log", case.traces.gpu_in_container or "")
    return hit is not None and hit.signature.id == id_


def _inside(case: HostEvidence) -> Evidence:
    return Evidence("nvidia-smi -L in the container", excerpt(case.traces.gpu_in_container or ""))


_APPLY = Step("Bring the container to the inventory's wish.", "{up}", Automate.ASK, "apply")
_CONFIGURE = Step("Write the specification of the GPU.", "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml")

RULES = (
    Rule(
        container_no_gpu_flag,
        Severity.ERROR,
        steps=(
            Step(
                "Make it anew, with the GPU (by hand: `--gpus all`; AMD: --device /dev/kfd --device /dev/dri).",
                "{up}",
                Automate.ASK,
                "apply",
            ),
        ),
        explains=("gpu-not-used", "cpu-fallback"),
        needs=("docker-inspect.json",),
    ),
    Rule(
        container_toolkit_missing,
        Severity.ERROR,
        steps=(
            Step(
                "Install the NVIDIA Container Toolkit from NVIDIA's repository.",
                "sudo apt install nvidia-container-toolkit",
            ),
            _CONFIGURE,
            Step(
                "Engines before 25 want the runtime; this restarts all containers.",
                "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker",
            ),
            _APPLY,
        ),
        explains=("gpu-not-used", "cpu-fallback", "service-not-running", "connection-refused"),
        needs=("docker-inspect.json",),
    ),
    Rule(
        docker_is_snap_or_desktop,
        Severity.ERROR,
        steps=(
            Step("See what would move: images, volumes and models of this engine.", "docker volume ls"),
            Step(
                "Replace it by Docker's or the distribution's engine; volumes do not come along.",
                "sudo snap remove docker && sudo apt install docker.io",
            ),
            _APPLY,
        ),
        explains=("gpu-not-used", "cpu-fallback", "service-not-running", "connection-refused"),
        needs=("docker-inspect.json",),
    ),
    Rule(
        nvml_unknown_container,
        Severity.ERROR,
        steps=(
            Step("Restart the container: it gets its GPU back.", "docker restart ollama", Automate.ASK, "restart"),
            Step(
                "For good: give the GPU by CDI, as `up` does where the engine knows how.",
                "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
            ),
            Step(
                'Or take `{"exec-opts": ["native.cgroupdriver=cgroupfs"]}` into /etc/docker/daemon.json.',
                "sudo systemctl restart docker",
            ),
        ),
        explains=("gpu-not-used", "cpu-fallback"),
        verify="docker exec ollama nvidia-smi -L",
    ),
    Rule(
        no_cgroups_mismatch,
        Severity.ERROR,
        steps=(
            Step(
                "Set it right (true only for Docker without root), then restart Docker, which restarts all containers.",
                "sudo nvidia-ctk config --set nvidia-container-cli.no-cgroups={wanted} --in-place"
                " && sudo systemctl restart docker",
            ),
        ),
        explains=("gpu-not-used", "cpu-fallback", "service-not-running", "connection-refused"),
        verify="docker exec ollama nvidia-smi -L",
    ),
)
