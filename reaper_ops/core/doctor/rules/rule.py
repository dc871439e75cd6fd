"""A rule of the catalogue: how to see one failure mode, what it explains, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from reaper_ops.core.doctor.finding import Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence

VERIFY = "reaper-ops doctor {source} -l {host}"


@dataclass(frozen=True)
class Rule:
    """judge's name is the id, its docstring the runbook.

    explains: ids that are consequences of this one. needs: parts of the evidence without which it is blind (names of
    core.evidence.PARTS). question: what only a person can tell; a rule that no program can decide has nothing else.
    verify: the command that shows whether the remedy worked, beside the doctor itself.
    """

    judge: Callable[[HostEvidence], Finding | None]
    severity: Severity
    steps: tuple[Step, ...]
    explains: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    question: str = ""
    concerns: Callable[[HostEvidence], bool] = lambda case: True
    verify: str = VERIFY

    @property
    def id(self) -> str:
        return self.judge.__name__.replace("_", "-")

    @property
    def text(self) -> str:
        return self.judge.__doc__ or ""

    def __call__(self, case: HostEvidence) -> Finding | None:
        found = self.judge(case)
        return replace(found, id=self.id, severity=found.severity or self.severity) if found else None
