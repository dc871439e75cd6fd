"""Why a host must not be changed to its desired state, and what will not fit."""

from __future__ import annotations

import posixpath

from reaper_ops.core.inventory import releases
from reaper_ops.core.provision import release, takeover
from reaper_ops.core.provision.layout import STATE
from reaper_ops.core.provision.plan import effect, port, rights, store, swap
from reaper_ops.core.provision.plan.host import COMPOSE_MIN
from reaper_ops.core.provision.plan.model import Action, PlanInput
from reaper_ops.core.values import human_bytes

MARKER = "Managed by reaper_ops"
UNPACKED = 3  # measured: releases of 1.3 to 2 GB unpack to about three times their size


def blockers(case: PlanInput) -> list[str]:
    found: list[str] = []
    s, system = case.settings, case.facts.system
    if s.ollama_runtime != "docker" and release.architecture(system.arch) is None:
        found.append(
            f"Ollama has no release for architecture {system.arch!r}, only for amd64 and arm64; "
            "set `ollama_managed: false` to have the host only probed, or take it out of the inventory"
        )
    found += rights.blockers(case)
    if s.ollama_runtime == "systemd" and system.init not in {"systemd", ""}:
        found.append(f"process 1 is {system.init}, not systemd; set ollama_runtime: process or docker")
    found += _vulnerable(case) + _unproven(case) + _foreign_unit(case) + _state_link(case)
    found += effect.blockers(case) + port.blockers(case)
    return found + swap.blockers(case) + _gpu(case) + _docker(case) + _held(case) + store.blockers(case)


def _vulnerable(case: PlanInput) -> list[str]:
    """A version on which a request alone runs code is installed only when it is accepted by name."""
    s = case.settings
    rows = releases.refused_for(s.ollama_version, s.ollama_accepted_vulnerabilities)
    if not rows:
        return []
    listed = ", ".join(row.id for row in rows)
    return [
        f"Ollama {s.ollama_version} is refused: {rows[0].described()} ({rows[0].source}); set `ollama_version: "
        f"{releases.recommended()}`, or accept it: `ollama_accepted_vulnerabilities: "
        f"{{{s.ollama_version}: [{listed}]}}`"
    ]


def _unproven(case: PlanInput) -> list[str]:
    """Archives from a directory need a checksum of ours or the user's: nothing else vouches for them."""
    s, arch = case.settings, release.architecture(case.facts.system.arch)
    if s.ollama_runtime == "docker" or arch is None or s.ollama_version in case.facts.releases:
        return []
    amd = case.gpu_vendor() == "amd"
    wanted = release.archives(s, arch, amd=amd, jetpack=case.facts.system.jetpack)
    return [
        f"nothing proves {archive.name} of {s.ollama_version}: our table lacks it; give its SHA-256 in "
        "ollama_release_sha256"
        for archive in wanted
        if archive.proof == "none"
    ]


def _foreign_unit(case: PlanInput) -> list[str]:
    if case.settings.ollama_runtime != "systemd" or case.settings.ollama_adopt:
        return []
    unit = case.facts.files.get(case.desired.context["paths"]["unit"])
    if unit is None or unit.content is None or MARKER in unit.content:
        return []
    return [
        f"{unit.path} was not written by reaper_ops; set `ollama_adopt: true` to take it over by a drop-in, "
        "or remove that installation"
    ]


def _state_link(case: PlanInput) -> list[str]:
    """systemd makes no state directory through a link, so the service would never start."""
    state = case.facts.files.get(STATE)
    if case.settings.ollama_runtime != "systemd" or case.desired.context["adopt"] or state is None or not state.link:
        return []
    return [
        f"{STATE} is a link to {state.link}, and systemd starts no service whose state directory is one; remove the "
        f"link and set `ollama_models_dir: {posixpath.join('/var/lib', state.link)}/models`, or mount that place there"
    ]


def _gpu(case: PlanInput) -> list[str]:
    s, gpu = case.settings, case.facts.gpu
    if not s.gpu_require:
        return []
    if case.gpu_vendor() == "none":
        return ["gpu_require is true, but no GPU is on the PCI bus; check the card, the BIOS, or the VM's passthrough"]
    if case.gpu_vendor() == "nvidia" and gpu.nvidia is None and not s.gpu_install_driver:
        return [
            "gpu_require is true, but the NVIDIA driver does not answer"
            f" ({gpu.nvidia_error or 'no nvidia-smi'}); install it, or set `gpu_install_driver: true`"
        ]
    return []


def _docker(case: PlanInput) -> list[str]:
    s, there, system = case.settings, case.facts.docker, case.facts.system
    if s.ollama_runtime != "docker":
        return []
    engine = there.engine if there else None
    compose = there.compose if there else None
    if engine is None and not s.docker_install:
        return ["no Docker engine, and docker_install is false; install one, or set `docker_install: true`"]
    if s.docker_source == "distribution" and compose is None:
        if system.os_id == "debian" and system.version_id == "12":
            return ["Debian 12 packages no Compose v2; set `docker_source: docker`"]
        if system.family == "redhat":
            return [f"{system.os_id} packages no Docker engine; set `docker_source: docker`"]
    if compose is not None and _major(compose) < COMPOSE_MIN:
        return [f"Compose {compose} is too old; version 2 is needed; set `docker_source: docker`"]
    return []


def _major(version: str) -> int:
    digits = version.lstrip("v").split(".")[0]
    return int(digits) if digits.isdigit() else COMPOSE_MIN


def _held(case: PlanInput) -> list[str]:
    if case.settings.ollama_runtime != "docker":
        return []
    return takeover.blockers(case.settings, case.facts)


def warnings(case: PlanInput, actions: list[Action]) -> list[str]:
    found = _disk(case, actions)
    memory = case.facts.memory
    vram = sum(gpu.memory_total for gpu in case.facts.gpu.nvidia or ())
    for name in case.settings.models():
        size = case.desired.sizes.get(name)
        if size and memory and size > memory.total + vram:
            found.append(
                f"{name} ({human_bytes(size)}) is larger than the host's memory "
                f"({human_bytes(memory.total)} RAM, {human_bytes(vram)} VRAM): it cannot be loaded"
            )
    found += swap.warnings(case) + rights.warnings(case)
    if case.settings.exposure == "open":
        found.append(
            f"port {case.settings.ollama_port} will be open to everyone who reaches {case.settings.ollama_bind}: "
            "Ollama has no authentication"
        )
    if case.gpu_vendor() == "nvidia" and case.facts.gpu.nvidia is None and not case.settings.gpu_install_driver:
        found.append("an NVIDIA GPU is expected, but nvidia-smi does not answer: Ollama will run on the CPU")
    return found


def _disk(case: PlanInput, actions: list[Action]) -> list[str]:
    found: list[str] = []
    for id_, path, factor in (
        ("ollama/release", case.desired.context["paths"]["release_dest"], UNPACKED + 1),
        ("models/pull", case.desired.context["models_dir"], 1),
    ):
        need = sum((action.bytes or 0) * factor for action in actions if action.id == id_)
        disk = case.facts.disks.get(path)
        if disk and need > disk.free:
            found.append(f"{path} needs about {human_bytes(need)}, {human_bytes(disk.free)} are free on {disk.mount}")
    return found
