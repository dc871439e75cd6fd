"""NVIDIA's tools: driver, nvidia-smi, container toolkit and CDI."""

from __future__ import annotations

import csv
import re

from reaper_ops.core.facts.answers import Answers, Ask, number, text
from reaper_ops.core.facts.docker import version_of
from reaper_ops.core.facts.gpu_chain import NvidiaGpu
from reaper_ops.core.inventory.settings import Settings

FIELDS = "index,uuid,name,memory.total,memory.used,driver_version,compute_cap"
SPECS = [f"{directory}/*.{end}" for directory in ("/etc/cdi", "/var/run/cdi") for end in ("yaml", "yml", "json")]
SPEC_LINES = r"^\s*(?:-\s*)?\"?(?:kind|name)\"?\s*:"


def asks(settings: Settings) -> list[Ask]:
    query = ["nvidia-smi", f"--query-gpu={FIELDS}", "--format=csv,noheader,nounits"]
    found: list[Ask] = [
        {"id": "nvidia-driver", "kind": "file", "path": "/proc/driver/nvidia/version"},
        {"id": "nvidia-smi", "kind": "command", "argv": query},
        {"id": "nvidia-list", "kind": "command", "argv": ["nvidia-smi", "-L"]},
    ]
    if settings.ollama_runtime == "docker":
        found += [
            {"id": "nvidia-ctk", "kind": "command", "argv": ["nvidia-ctk", "--version"]},
            {"id": "cdi-list", "kind": "command", "argv": ["nvidia-ctk", "cdi", "list"]},
            {"id": "cdi-specs", "kind": "glob", "patterns": SPECS, "content": True, "grep": SPEC_LINES},
        ]
    return found


def parse(answers: Answers) -> tuple[tuple[NvidiaGpu, ...] | None, str | None]:
    """Rows and no error, or no rows and the tool's own words; both None where there is no nvidia-smi."""
    command = answers.command("nvidia-smi")
    if command is None or command.missing:
        return None, None
    if command.timed_out:
        return None, "nvidia-smi did not finish in time"
    if command.rc == 0:
        return rows(command.out), None
    lines = [line.strip() for line in (command.out + "\n" + command.err).splitlines() if line.strip()]
    return None, " ".join(lines)[:500] or f"nvidia-smi ended with {command.rc}"


def rows(output: str) -> tuple[NvidiaGpu, ...]:
    """Rows of the query; a figure that the driver does not give (`[N/A]`) is None, and total memory then 0."""
    lines = [line.replace("\0", "") for line in output.splitlines()]
    found = (_row([cell.strip() for cell in cells]) for cells in csv.reader(lines, quoting=csv.QUOTE_NONE))
    return tuple(gpu for gpu in found if gpu is not None)


def _row(cells: list[str]) -> NvidiaGpu | None:
    if len(cells) < 7 or number(cells[0]) is None or (cells[1] and not cells[1].startswith("GPU-")):
        return None
    name = ", ".join(cells[2:-4])
    total, used, version, compute = cells[-4:]
    capability = compute if re.fullmatch(r"[0-9]{1,2}\.[0-9]{1,2}", compute) else None
    return NvidiaGpu(
        index=int(cells[0]),
        uuid=cells[1],
        name=name,
        memory_total=(number(total) or 0) << 20,
        memory_used=None if number(used) is None else (number(used) or 0) << 20,
        driver=version,
        compute=capability,
    )


def mig(answers: Answers) -> tuple[str, ...]:
    """UUIDs of MIG slices, from `nvidia-smi -L`."""
    return tuple(re.findall(r"\(UUID: (MIG-[0-9A-Za-z/-]+)\)", answers.out("nvidia-list") or ""))


def driver(answers: Answers, gpus: tuple[NvidiaGpu, ...] | None) -> str | None:
    """Version of the loaded kernel module; on WSL, where none is, of the Windows driver."""
    return kernel_driver(answers.content("nvidia-driver")) or next((gpu.driver for gpu in gpus or ()), None)


def kernel_driver(content: str | None) -> str | None:
    match = re.search(r"Kernel Module(?: for \S+)?\s+([0-9]+(?:\.[0-9]+)+)", content or "")
    return match[1] if match else None


def toolkit(answers: Answers) -> str | None:
    return version_of(answers.out("nvidia-ctk"))


def cdi(answers: Answers) -> tuple[str, ...] | None:
    """Qualified device names by the toolkit, else by the spec files; None where neither is there."""
    listed = answers.out("cdi-list")
    names = [line for line in (listed or "").split() if re.fullmatch(r"[\w.-]+/[\w.-]+=\S+", line)]
    specs = answers.matches("cdi-specs") or []
    for spec in specs:
        names += spec_names(text(spec.get("content")))
    return tuple(dict.fromkeys(names)) if listed is not None or specs else None


def spec_names(content: str | None) -> list[str]:
    kind = re.search(r"^[ \t]{0,64}\"?kind\"?[ \t]{0,64}:[ \t]{0,64}\"?([\w./-]{1,256})", content or "", re.M)
    if not kind:
        return []
    found = re.findall(
        r"^[ \t]{0,64}(?:-[ \t]{0,64})?\"?name\"?[ \t]{0,64}:[ \t]{0,64}[\"']?([^\"'\s,]{1,256})", content or "", re.M
    )
    return [f"{kind[1]}={name}" for name in found]
