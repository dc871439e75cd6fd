"""Plans for the host below Ollama: packages, swap, GPU, Docker."""

from __future__ import annotations

from reaper_ops.core.provision import release, repositories
from reaper_ops.core.provision.plan.model import Action, PlanInput

DOCKER_CE = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin")
DOCKER_DEBIAN = ("docker.io", "docker-cli", "docker-compose")
DOCKER_UBUNTU = ("docker.io", "docker-compose-v2")
COMPOSE_MIN = 2


def baseline(case: PlanInput) -> list[Action]:
    if case.settings.ollama_runtime != "systemd":
        return []
    wanted = ["ca-certificates"]
    if release.suffix(case.settings.ollama_version) == ".tar.zst" and not case.facts.tools.get("zstd"):
        wanted.append("zstd")
    return case.missing_packages("baseline/packages", wanted)


def gpu(case: PlanInput) -> list[Action]:
    if case.gpu_vendor() != "nvidia" or case.settings.ollama_runtime == "process":
        return []
    actions: list[Action] = []
    if case.settings.gpu_install_driver and case.facts.gpu.driver is None:
        actions.append(Action("gpu/driver", "nvidia-driver", "an NVIDIA card is there, no driver is loaded"))
    actions += case.file_actions("gpu/")
    if case.settings.ollama_runtime == "docker":
        actions += _gpu_docker(case)
    return actions


def _gpu_docker(case: PlanInput) -> list[Action]:
    """The toolkit, and the engine's part of the form that the Compose file uses."""
    found, docker, wanted = case.facts.gpu, case.facts.docker, case.desired.context["gpu"]
    if wanted["form"] == "none":
        return []
    actions: list[Action] = []
    if found.toolkit is None:
        if not repositories.named(case.facts, "nvidia", case.desired.context["arch"]):
            reason = "the toolkit comes from NVIDIA's repository"
            actions.append(Action("gpu/repository", "libnvidia-container", reason))
        actions.append(Action("gpu/toolkit", "nvidia-container-toolkit", "is not installed"))
    if wanted["form"] in {"cdi", "cdi-deploy"}:
        if not found.cdi:
            actions.append(Action("gpu/cdi", "/etc/cdi/nvidia.yaml", "no CDI specification names the GPUs"))
        missing = wanted["cdi_feature"] and not (docker and docker.cdi_dirs)
        problem = "CDI is not switched on in the engine" if missing else ""
    else:
        missing = "nvidia" not in (docker.runtimes if docker else ())
        problem = "the engine does not know the NVIDIA runtime" if missing else ""
    return actions + ([Action("gpu/daemon", "/etc/docker/daemon.json", problem)] if problem else [])


def docker_packages(case: PlanInput) -> tuple[str, ...]:
    system = case.facts.system
    if case.settings.docker_source == "docker":
        return DOCKER_CE
    if system.os_id == "ubuntu":
        return DOCKER_UBUNTU
    return DOCKER_DEBIAN


def docker(case: PlanInput) -> list[Action]:
    if case.settings.ollama_runtime != "docker":
        return []
    there = case.facts.docker
    actions: list[Action] = []
    absent = there is None or there.engine is None
    if absent and not case.settings.docker_install:
        return []
    if case.settings.docker_install and (there is None or absent or there.compose is None):
        missing = case.missing_packages("docker/packages", docker_packages(case))
        named = repositories.named(case.facts, "docker", case.desired.context["arch"])
        if missing and case.settings.docker_source == "docker" and not named:
            actions.append(Action("docker/repository", "docker", "packages come from Docker's own repository"))
        actions += missing
    started_by_package = bool(actions) and case.facts.system.family == "debian"
    if (there is None or not there.running) and not started_by_package:
        actions.append(Action("docker/enable", "docker.service", "is not enabled at boot"))
        actions.append(Action("docker/start", "docker.service", "the engine is not running"))
    return actions
