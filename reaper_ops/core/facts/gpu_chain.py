"""The GPUs of a host as they were read: frozen records, ``None`` where nothing was read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PciGpu:
    """driver is the kernel driver that holds the card: nvidia, nouveau, amdgpu, vfio-pci, or None."""

    slot: str
    vendor: str
    device: str
    driver: str | None = None


@dataclass(frozen=True)
class DeviceNode:
    path: str
    gid: int
    mode: str


@dataclass(frozen=True)
class NvidiaGpu:
    """One row of nvidia-smi; memory in bytes."""

    index: int
    uuid: str
    name: str
    memory_total: int
    memory_used: int | None
    driver: str
    compute: str | None


@dataclass(frozen=True)
class AmdGpu:
    """gfx is the compute target such as gfx1100, None where KFD does not list the card; memory in bytes."""

    slot: str
    gfx: str | None
    memory_total: int
    memory_used: int | None


@dataclass(frozen=True)
class Gpu:
    """The chain, link by link: PCI, kernel module, device nodes, tools, toolkit, CDI."""

    pci: tuple[PciGpu, ...] = ()
    modules: tuple[str, ...] = ()
    nodes: tuple[DeviceNode, ...] = ()
    nvidia: tuple[NvidiaGpu, ...] | None = None
    nvidia_error: str | None = None
    driver: str | None = None
    toolkit: str | None = None
    cdi: tuple[str, ...] | None = None
    amd: tuple[AmdGpu, ...] = ()
    mig: tuple[str, ...] = ()

    def vendor(self) -> str:
        """``nvidia``, ``amd`` or ``none``, from PCI first and from tools and device nodes where PCI shows nothing."""
        vendors = {gpu.vendor for gpu in self.pci}
        if "10de" in vendors or self.nvidia:
            return "nvidia"
        if "1002" in vendors or any(node.path == "/dev/kfd" for node in self.nodes):
            return "amd"
        return "none"
