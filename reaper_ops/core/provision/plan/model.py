"""What `up` would do: actions with their reason, in the order of the roles."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.secrets import redact as redact

RECORD = "manifest/record"


@dataclass(frozen=True)
class Desired:
    """One rendered file: id of the action that writes it, and its exact text."""

    id: str
    path: str
    content: str
    mode: str = "0644"


@dataclass(frozen=True)
class DesiredState:
    """context: the render context; sizes: bytes by archive or model name, where they could be asked."""

    context: Mapping[str, Any]
    files: Sequence[Desired]
    sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Action:
    """id names the task that does it; target is what is touched; bytes is what is downloaded."""

    id: str
    target: str
    reason: str
    diff: str = ""
    bytes: int | None = None


@dataclass(frozen=True)
class Plan:
    """blockers: why `up` will not touch this host at all; warnings: what will not fit or not work as hoped."""

    host: str
    actions: tuple[Action, ...] = ()
    blockers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def todo(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(action.id for action in self.actions))

    @property
    def is_empty(self) -> bool:
        return not self.actions

    def part(self, chosen: Collection[str]) -> Plan:
        """Only the actions of these ids or roles, and the record of what they bring."""
        found = tuple(one for one in self.actions if {one.id, one.id.split("/")[0]} & {*chosen, "manifest"})
        return replace(self, actions=found if any(one.id != RECORD for one in found) else ())

    def targets(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for action in self.actions:
            found.setdefault(action.id, []).append(action.target)
        return found


@dataclass(frozen=True)
class PlanInput:
    """Everything that a planner looks at."""

    settings: Settings
    facts: Facts
    desired: DesiredState

    def file_actions(self, prefix: str) -> list[Action]:
        """Actions for rendered files whose text differs from what is on the host."""
        return [
            found for file in self.desired.files if file.id.startswith(prefix) for found in [self._file(file)] if found
        ]

    def _file(self, file: Desired) -> Action | None:
        there = self.facts.files.get(file.path)
        before = there.content if there else None
        if there is not None and there.holds(file.content):
            return None
        diff = "".join(
            difflib.unified_diff(
                (before or "").splitlines(keepends=True),
                redact(file.content).splitlines(keepends=True),
                f"{file.path} (on the host)" if before is not None else "/dev/null",
                f"{file.path} (desired)",
            )
        )
        return Action(file.id, file.path, "is missing" if before is None else "differs from the desired state", diff)

    def missing_packages(self, id_: str, names: Sequence[str]) -> list[Action]:
        return [Action(id_, name, "is not installed") for name in names if not self.facts.packages.get(name)]

    def gpu_vendor(self) -> str:
        wanted = self.settings.gpu_vendor
        return self.facts.gpu.vendor() if wanted == "auto" else wanted
