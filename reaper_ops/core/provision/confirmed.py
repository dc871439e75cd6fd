"""What was shown and confirmed: actions with all that they are given, and what a later reading has beyond that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reaper_ops.errors import ReaperError

NOTHING_SHOWN = "not in the plan"
OTHER_MACHINE = "it is another machine than the one that the plan was made for"


@dataclass(frozen=True)
class ConfirmedStep:
    """targets: what the action touches, each with its reason; digest: over everything that its tasks are given."""

    targets: Mapping[str, str]
    digest: str


Steps = Mapping[str, ConfirmedStep]


@dataclass(frozen=True)
class Confirmed:
    """machine: who the host is, empty when unknown. choices: what may follow once engine and tools are installed."""

    machine: str = ""
    steps: Steps = field(default_factory=dict)
    choices: tuple[Steps, ...] = ()

    def differences(self, now: Confirmed, *, later: bool = False) -> tuple[str, ...]:
        """What `now` has beyond this, in words; less is no difference. later: one of the choices may be taken too."""
        if self.machine and now.machine and self.machine != now.machine:
            return (OTHER_MACHINE,)
        found = [_beyond({**self.steps, **choice}, now.steps) for choice in ({}, *(self.choices if later else ()))]
        return min(found, key=len)

    def as_json(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "steps": _row(self.steps),
            "choices": [_row(steps) for steps in self.choices],
        }


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def of_roles(steps: Steps, roles: frozenset[str]) -> dict[str, ConfirmedStep]:
    return {id_: step for id_, step in steps.items() if id_.split("/")[0] in roles}


def _beyond(allowed: Steps, now: Steps) -> tuple[str, ...]:
    found: list[str] = []
    for id_, step in now.items():
        known = allowed.get(id_)
        new = [target for target in step.targets if known is None or target not in known.targets]
        found += [f"{id_} {target}: {step.targets[target]} ({NOTHING_SHOWN})" for target in new]
        if known is not None and not new and known.digest != step.digest:
            found.append(f"{id_} {', '.join(step.targets)}: would be done in another way than planned")
    return tuple(found)


def _row(steps: Steps) -> dict[str, Any]:
    return {id_: {"targets": dict(step.targets), "digest": step.digest} for id_, step in steps.items()}


def parse(place: str, value: object) -> Confirmed:
    """From JSON that may be anybody's; what has another shape is an error at `place`."""
    row = _mapping(place, value)
    choices = row.get("choices", [])
    if not isinstance(choices, list):
        raise ReaperError(place, "`choices` is not a list")
    return Confirmed(
        _text(place, row.get("machine", "")),
        _steps(place, row.get("steps", {})),
        tuple(_steps(place, choice) for choice in choices),
    )


def _steps(place: str, value: object) -> dict[str, ConfirmedStep]:
    return {id_: _step(f"{place}/{id_}", row) for id_, row in _mapping(place, value).items()}


def _step(place: str, value: object) -> ConfirmedStep:
    row = _mapping(place, value)
    targets = _mapping(place, row.get("targets"))
    return ConfirmedStep(
        {name: _text(place, reason) for name, reason in targets.items()}, _text(place, row.get("digest"))
    )


def _mapping(place: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ReaperError(place, "is not an object of the plan")
    return value


def _text(place: str, value: object) -> str:
    if not isinstance(value, str):
        raise ReaperError(place, "is not a text")
    return str(value)
