"""How NVIDIA's GPUs fare at this moment, who uses them, and what keeps them from being used."""

from __future__ import annotations

import csv
import re
from typing import Any

from reaper_ops.core.facts.answers import Answers, Ask, number, text
from reaper_ops.core.facts.traces import GpuLoad, GpuUser
from reaper_ops.core.inventory.settings import Settings

FIELDS = (
    *("uuid", "memory.free", "memory.total", "temperature.gpu", "utilization.gpu", "power.draw", "power.limit"),
    *("pstate", "compute_cap", "mig.mode.current"),
)
REASONS = {
    0x1: "gpu_idle",
    0x2: "applications_clocks_setting",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
}
QUIET = {"gpu_idle"}
DKMS = r"(?i)nvidia|amdgpu"


def asks(settings: Settings) -> list[Ask]:
    found: list[Ask] = []
    if settings.gpu_vendor == "none":
        return found
    queries = {
        "gpu-load": f"--query-gpu={','.join(FIELDS)}",
        "gpu-throttle": "--query-gpu=uuid,clocks_throttle_reasons.active",
        "gpu-events": "--query-gpu=uuid,clocks_event_reasons.active",
        "gpu-users": "--query-compute-apps=pid,process_name,used_memory",
    }
    for id_, query in queries.items():
        argv = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
        found.append({"id": id_, "kind": "command", "argv": argv})
    return [
        *found,
        {"id": "toolkit-config", "kind": "file", "path": "/etc/nvidia-container-runtime/config.toml"},
        {"id": "dkms", "kind": "command", "argv": ["dkms", "status"], "grep": DKMS},
        {"id": "nvidia-module", "kind": "command", "argv": ["modinfo", "-F", "version", "nvidia"]},
        {"id": "secure-boot", "kind": "command", "argv": ["mokutil", "--sb-state"]},
        {
            "id": "secure-boot-variable",
            "kind": "glob",
            "patterns": ["/sys/firmware/efi/efivars/SecureBoot-*"],
            "content": True,
        },
    ]


def parse(answers: Answers) -> dict[str, Any]:
    throttle = {**throttled(answers.out("gpu-throttle")), **throttled(answers.out("gpu-events"))}
    module = answers.command("nvidia-module")
    return {
        "gpu_load": loads(answers.out("gpu-load"), throttle),
        "gpu_users": users(answers.out("gpu-users")),
        "toolkit_config": answers.content("toolkit-config"),
        "dkms": answers.out("dkms"),
        "gpu_modules_file": None if module is None or module.missing or module.timed_out else module.rc == 0,
        "secure_boot": secure_boot(answers),
    }


def _cells(output: str) -> list[list[str]]:
    lines = [line.replace("\0", "") for line in output.splitlines()]
    return [[cell.strip() for cell in row] for row in csv.reader(lines, quoting=csv.QUOTE_NONE)]


def loads(output: str | None, throttle: dict[str, tuple[str, ...]]) -> tuple[GpuLoad, ...] | None:
    if output is None:
        return None
    rows = (dict(zip(FIELDS, row, strict=True)) for row in _cells(output) if len(row) == len(FIELDS))
    return tuple(_load(row, throttle.get(row["uuid"], ())) for row in rows if row["uuid"].startswith("GPU-"))


def _load(row: dict[str, str], reasons: tuple[str, ...]) -> GpuLoad:
    capability = row["compute_cap"]
    return GpuLoad(
        uuid=row["uuid"],
        free=_mebibytes(row["memory.free"]),
        total=_mebibytes(row["memory.total"]),
        temperature=number(row["temperature.gpu"]),
        utilization=number(row["utilization.gpu"]),
        power=_decimal(row["power.draw"]),
        power_limit=_decimal(row["power.limit"]),
        state=row["pstate"] if re.fullmatch(r"P[0-9]{1,2}", row["pstate"]) else "",
        throttle=reasons,
        compute=capability if re.fullmatch(r"[0-9]{1,2}\.[0-9]{1,2}", capability) else None,
        mig=row["mig.mode.current"] if row["mig.mode.current"] in ("Enabled", "Disabled") else "",
    )


def throttled(output: str | None) -> dict[str, tuple[str, ...]]:
    """Reasons by UUID, from the mask that the driver gives."""
    rows = re.findall(r"^(GPU-[0-9a-fA-F-]+), 0x([0-9a-fA-F]{1,16})\s*$", output or "", re.M)
    masks = {uuid: int(mask, 16) for uuid, mask in rows}
    return {
        uuid: tuple(name for bit, name in REASONS.items() if mask & bit and name not in QUIET)
        for uuid, mask in masks.items()
    }


def users(output: str | None) -> tuple[GpuUser, ...] | None:
    if output is None:
        return None
    rows = [row for row in _cells(output) if len(row) >= 3 and number(row[0]) is not None]
    return tuple(GpuUser(int(row[0]), ", ".join(row[1:-1]), _mebibytes(row[-1])) for row in rows)


def secure_boot(answers: Answers) -> bool | None:
    said = re.search(r"SecureBoot (enabled|disabled)", answers.out("secure-boot") or "")
    if said:
        return said[1] == "enabled"
    for row in answers.matches("secure-boot-variable") or ():
        value = text(row.get("content"))
        if value:
            return value.endswith("\x01")
    return None


def _mebibytes(value: str) -> int | None:
    found = number(value)
    return None if found is None else found << 20


def _decimal(value: str) -> float | None:
    return float(value) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,4})?", value, re.ASCII) else None
