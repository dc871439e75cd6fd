"""What was done, or would be, to the mirrors of a site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reaper_ops.core.provision.plan.model import Action
from reaper_ops.errors import ExitCode

Actions = Mapping[str, tuple[Action, ...]]


@dataclass(frozen=True)
class Work:
    """todo: what differed; results: per host what the last step answered; problems: of hosts that failed.

    withheld: hosts that were left alone, because they had changed since they were shown.
    """

    todo: Actions
    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    applied: bool = False
    withheld: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.worst(errors=self.problems, warnings=self.withheld)
