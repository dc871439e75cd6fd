"""Stand-ins for a host with one NVIDIA card: what facts read below ``lab_facts_root``. Simulated, and says so."""

from __future__ import annotations

from pathlib import Path

SLOT = "0000:01:00.0"
UUID = "GPU-51a00000-1ab0-4000-8000-000000000024"
DRIVER = "580.65.06"
_MEMORY_MIB = 24576
_FIELDS = {
    "index": "0",
    "uuid": UUID,
    "gpu_uuid": UUID,
    "name": "NVIDIA Simulated 24GB (reaper_ops lab)",
    "memory.total": str(_MEMORY_MIB),
    "memory.used": "512",
    "memory.free": str(_MEMORY_MIB - 512),
    "driver_version": DRIVER,
    "compute_cap": "8.9",
    "utilization.gpu": "0",
    "temperature.gpu": "35",
    "pci.bus_id": "00000000:01:00.0",
    "ecc.errors.uncorrected.volatile.total": "0",
}
_SMI = f'''#!/usr/bin/env python3
"""Simulated nvidia-smi of the reaper_ops lab: there is no GPU."""
import sys

FIELDS = {_FIELDS!r}
UNITS = {{"memory.total": " MiB", "memory.used": " MiB", "memory.free": " MiB", "utilization.gpu": " %"}}
wanted = [word.split("=", 1)[1] for word in sys.argv[1:] if word.startswith("--query-gpu=")]
plain = any("nounits" in word for word in sys.argv[1:])
if "-L" in sys.argv:
    print("GPU 0: " + FIELDS["name"] + " (UUID: " + FIELDS["uuid"] + ")")
elif wanted:
    names = wanted[0].split(",")
    if not any("noheader" in word for word in sys.argv[1:]):
        print(", ".join(names))
    print(", ".join(FIELDS.get(name, "[N/A]") + ("" if plain else UNITS.get(name, "")) for name in names))
else:
    print("NVIDIA-SMI {DRIVER} (simulated)   Driver Version: {DRIVER}   CUDA Version: 13.0")
    print("0  " + FIELDS["name"] + "  512MiB / {_MEMORY_MIB}MiB")
'''
_FILES = {
    f"sys/bus/pci/devices/{SLOT}/vendor": "0x10de\n",
    f"sys/bus/pci/devices/{SLOT}/device": "0x2684\n",
    f"sys/bus/pci/devices/{SLOT}/class": "0x030000\n",
    f"sys/bus/pci/devices/{SLOT}/uevent": f"DRIVER=nvidia\nPCI_ID=10DE:2684\nPCI_SLOT_NAME={SLOT}\n",
    "proc/modules": (
        "nvidia_uvm 4947968 2 - Live 0x0000000000000000 (OE)\n"
        "nvidia 60620800 18 nvidia_uvm, Live 0x0000000000000000 (OE)\n"
    ),
    "proc/driver/nvidia/version": f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {DRIVER}  (simulated)\n",
    "dev/nvidia0": "",
    "dev/nvidiactl": "",
    "dev/nvidia-uvm": "",
    "SIMULATED": "Stand-ins of the reaper_ops lab: this host has no GPU.\n",
}


def write(root: Path) -> None:
    """Writes the tree; equal files are left alone."""
    for name, text in {**_FILES, "bin/nvidia-smi": _SMI}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        path.chmod(0o755 if name.startswith("bin/") else 0o666)
