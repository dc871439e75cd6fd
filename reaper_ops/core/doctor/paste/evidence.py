"""What blocks of pasted text come to: answers as a host gives them, exchanges, and what nobody could read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from reaper_ops.core.doctor.paste.block_lines import Block
from reaper_ops.core.doctor.paste.line import PastedLine
from reaper_ops.core.facts.exchange import Exchange
from reaper_ops.core.facts.reported import ClientError, Origin, PastedBlock

LOG, KERNEL, RING = "log", "kernel-journal", "kernel-ring"
CONTENT = frozenset(
    {"meminfo", "swaps", "pressure", "loadavg", "cpuinfo", "mounts", "fstab", "os-release", "daemon.json", "modules"}
    | {"tegra", "nvidia-driver"}
)
"""Questions whose answer is a file and not what a command printed."""


@dataclass
class PastedEvidence:
    """Answers by the question's id, in the form that the question's own parser reads."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    rows: dict[str, list[Any]] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    inside: list[Mapping[str, Any]] = field(default_factory=list)
    outside: list[Exchange] = field(default_factory=list)
    errors: list[ClientError] = field(default_factory=list)
    shown: list[PastedBlock] = field(default_factory=list)
    runtimes: list[str] = field(default_factory=list)
    whole: dict[str, dict[str, Any]] = field(default_factory=dict)
    tool: str = "docker"

    def add(self, id_: str, text: str) -> None:
        if text:
            self.texts.setdefault(id_, []).append(text if text.endswith("\n") else f"{text}\n")

    def say(self, id_: str, line: PastedLine) -> None:
        """One line of a log."""
        self.texts.setdefault(id_, []).append(f"{line.text}\n")

    def row(self, id_: str, row: object) -> None:
        self.rows.setdefault(id_, []).append(row)

    def error(self, found: ClientError | None, block: Block, line: PastedLine) -> None:
        if found is not None:
            where = Origin(block.part, line.number, line.owner or line.ident, line.when)
            self.errors.append(replace(found, origin=where))

    def answers(self) -> dict[str, Any]:
        found = {id_: self._answer(id_, "".join(rows)) for id_, rows in self.texts.items()}
        for id_, said in self.failed.items():
            found.setdefault(id_, {"rc": 1, "stdout": said, "stderr": "", "found": True})
        for id_ in ("containers", "container"):
            if id_ in self.rows:
                found[id_] = {"rc": 0, "stdout": json.dumps(self.rows[id_]), "stderr": "", "tool": self.tool}
        for id_ in ("pci", "kfd", "amd-vram", "addresses", "libraries"):
            if id_ in self.rows:
                found[id_] = {"matches": self.rows[id_]}
        if self.environ:
            found["process"] = {"found": True, "pid": 0, "environ": dict(self.environ)}
        if self.inside:
            found["api"] = {"exchanges": list(self.inside)}
        found |= self.whole
        found["listed"] = {"rows": self.rows.get("listed", [])}
        found["client-errors"] = {"rows": [asdict(one) for one in self.errors]}
        found["shown"] = {"rows": [asdict(one) for one in self.shown]}
        return found

    @staticmethod
    def _answer(id_: str, text: str) -> dict[str, Any]:
        if id_ in CONTENT:
            return {"exists": True, "kind": "file", "content": text}
        return {"rc": 0, "timed_out": False, "stderr": "", "truncated": False, "found": True, "stdout": text}

    @property
    def runtime(self) -> str:
        """What runs the server: where both are shown, systemd unless a container of Ollama is."""
        if "docker" not in self.runtimes:
            return "systemd"
        rows = self.rows.get("containers", [])
        serves = any(isinstance(row, dict) and "ollama" in str((row.get("Config") or {}).get("Image")) for row in rows)
        return "docker" if serves or "systemd" not in self.runtimes else "systemd"
