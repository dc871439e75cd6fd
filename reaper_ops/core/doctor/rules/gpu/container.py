"""The GPU on its way into a container."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.gpu import proof
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence

KINDS = {"snap": "Docker from a snap", "desktop": "Docker Desktop"}


def container_no_gpu_flag(case: HostEvidence) -> Finding | None:
    """The container was started without a GPU.

    The host has one, but `--gpus all` or the reservation in the Compose file is missing. AMD needs two device nodes.

    Signals:
    - models run on the CPU, without any error

    Not to be confused with:
    - container-toolkit-missing: the engine cannot give a GPU to any container.
    - nvml-unknown-container: the container had its GPU, and lost it.

    Sources:
    - docs/docker.mdx of Ollama
    - https://github.com/ollama/ollama/issues/1666
    """
    facts = case.facts
    if facts is None or facts.container is None or not proof.unused(case) or _without_gpus(case):
        return None
    link, given = proof.broken(case, "container-no-gpu-flag"), facts.container.gpu
    if link is not None:
        return proof.finding(
            case, "the host has a GPU, but the container was started without it", proof.link_evidence(case, link)
        )
    if proof.vendor(case) != "amd" or facts.container.state != "running" or case.gpu_link is None:
        return None
    lacking = [node for node in ("/dev/kfd", "/dev/dri") if not any(name.startswith(node) for name in given)]
    if not given or not lacking:
        return None
    evidence = Evidence("docker inspect", f"devices {', '.join(given)}")
    summary = f"the container lacks {' and '.join(lacking)}; AMD's cards need /dev/kfd and /dev/dri"
    return proof.finding(case, summary, evidence)


def _without_gpus(case: HostEvidence) -> bool:
    """Whether this kind of engine can reach no GPU; Docker Desktop can, where it runs in WSL."""
    windows = case.facts is not None and "microsoft" in case.facts.system.kernel.lower()
    return case.traces.docker_kind in KINDS and not (case.traces.docker_kind == "desktop" and windows)


def container_toolkit_missing(case: HostEvidence) -> Finding | None:
    """Docker cannot give containers the NVIDIA GPU.

    The NVIDIA Container Toolkit is not installed, or Docker has neither a CDI specification nor the runtime `nvidia`.

    Signals:
    - `could not select device driver "" with capabilities: [[gpu]]`
    - the container does not start; from outside: connection refused

    Not to be confused with:
    - docker-is-snap-or-desktop: the toolkit is installed, but that engine cannot use it.
    - container-no-gpu-flag: the container starts, without a GPU.

    Sources:
    - docs/docker.mdx of Ollama
    - https://github.com/NVIDIA/nvidia-container-toolkit/issues/871
    """
    link = proof.broken(case, "container-toolkit-missing")
    if link is None or case.facts is None or _without_gpus(case):
        return None
    box = case.facts.container
    if box is not None and box.state == "running" and not proof.unused(case):
        return None
    toolkit = case.facts.gpu.toolkit
    error = box.error if box else ""
    hit = signatures.match("log", error)
    if hit is not None and hit.signature.id != "toolkit-missing":
        return None
    refused = (Evidence("docker inspect", excerpt(error)),) if error and link.link != "container" else ()
    unused = f"the NVIDIA Container Toolkit {toolkit} is installed, but Docker is not configured for it"
    return proof.finding(
        case,
        f"Docker cannot give containers the GPU: {unused if toolkit else _NO_TOOLKIT}",
        proof.link_evidence(case, link),
        *refused,
        steps=_toolkit(case),
        confidence=Confidence.CERTAIN if hit or link.link == "toolkit" else Confidence.POSSIBLE,
    )


def _toolkit(case: HostEvidence) -> tuple[Step, ...] | None:
    """`up` installs and configures it all on a host that it manages."""
    if case.settings.ollama_managed:
        return (_UP_TOOLKIT,)
    facts = case.facts
    engine = facts.docker if facts else None
    packages = "sudo dnf install" if facts and facts.system.family == "redhat" else "sudo apt install"
    install = Step(_INSTALL, f"{packages} nvidia-container-toolkit")
    configure = CDI if engine and engine.cdi_dirs else _RUNTIME
    return (*(() if facts and facts.gpu.toolkit else (install,)), configure, AGAIN)


def docker_is_snap_or_desktop(case: HostEvidence) -> Finding | None:
    """This kind of Docker cannot reach the GPU.

    A snap is confined and cannot use NVIDIA's toolkit. Docker Desktop for Linux runs containers in a virtual machine
    without the GPU. (Docker Desktop in WSL can use it.)

    Signals:
    - `could not select device driver` although the toolkit is installed
    - the volumes are not under /var/lib/docker

    Not to be confused with:
    - container-toolkit-missing: the engine is an ordinary one.

    Sources:
    - https://github.com/NVIDIA/nvidia-docker/issues/1642
    - https://github.com/NVIDIA/nvidia-docker/issues/1311
    """
    kind, link = case.traces.docker_kind, case.gpu_link
    if kind is None or not _without_gpus(case) or link is None or link.link not in LINKS:
        return None
    root = case.facts.docker.root if case.facts and case.facts.docker else None
    evidence = Evidence("docker info", f"kind {kind}, root directory {root or 'unknown'}")
    summary = f"{KINDS[kind]} cannot give containers the GPU"
    return proof.finding(case, summary, evidence, proof.link_evidence(case, link), steps=_replace(case, kind))


def _replace(case: HostEvidence, kind: str) -> tuple[Step, ...]:
    remove = "sudo snap remove docker" if kind == "snap" else "sudo apt remove docker-desktop"
    return (
        Step("List the volumes that would be lost. The models can be pulled again.", "docker volume ls"),
        Step("Remove this engine, with its images and volumes.", remove),
        Step("Install the distribution's engine.", "sudo apt install docker.io"),
        _APPLY,
    )


_APPLY = Step("Apply the inventory, which starts the container.", "{up}", Automate.ASK, "apply")
AGAIN = Step("Start the container again.", "docker start ollama")
_NO_TOOLKIT = "the NVIDIA Container Toolkit is not installed"
_INSTALL = (
    "Install the NVIDIA Container Toolkit from NVIDIA's repository (https://nvidia.github.io/libnvidia-container/)."
)
_UP_TOOLKIT = Step(
    "Apply the inventory: it installs the toolkit, configures Docker for it, and starts the container. Where it changes"
    " /etc/docker/daemon.json, Docker and all its containers restart.",
    "{up}",
    Automate.ASK,
    "apply",
)
CDI = Step("Write the CDI specification of the GPU.", "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml")
_RUNTIME = Step(
    "Add the runtime `nvidia` to Docker. The restart stops and starts all containers.",
    "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker",
)
LINKS = frozenset({"toolkit", "container", "server"})

RULES = (
    Rule(
        container_no_gpu_flag,
        Severity.ERROR,
        steps=(
            Step(
                "Create the container again, with the GPU (by hand: `--gpus all`; for AMD `--device /dev/kfd --device"
                " /dev/dri`).",
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
        steps=(Step(_INSTALL), CDI, Step("For Docker older than 25, add the runtime `nvidia` instead."), _UP_TOOLKIT),
        explains=("gpu-not-used", "cpu-fallback", "service-not-running", "connection-refused"),
        needs=("docker-inspect.json",),
    ),
    Rule(
        docker_is_snap_or_desktop,
        Severity.ERROR,
        steps=(
            Step("List the volumes that would be lost. The models can be pulled again.", "docker volume ls"),
            Step("Replace it with Docker's own engine or the distribution's."),
            _APPLY,
        ),
        explains=("gpu-not-used", "cpu-fallback", "service-not-running", "connection-refused"),
        needs=("docker-inspect.json",),
    ),
)
