"""Outcomes of the independent checks of the desired state."""

from __future__ import annotations

from dataclasses import dataclass

from reaper_ops.errors import ExitCode

PASSED, FAILED, SKIPPED, UNKNOWN = "passed", "failed", "skipped", "unknown"
SCHEMA = "reaper-ops/verification/1"


@dataclass(frozen=True)
class VerifyCheck:
    """id: slug of the check; title: what is true when it passes; outcome: one of the words above."""

    host: str
    id: str
    title: str
    outcome: str
    detail: str = ""


@dataclass(frozen=True)
class Verification:
    hosts: tuple[str, ...]
    checks: tuple[VerifyCheck, ...]

    def of(self, host: str) -> tuple[VerifyCheck, ...]:
        return tuple(check for check in self.checks if check.host == host)

    @property
    def status(self) -> str:
        """error when a check failed, unknown when one could not be made or a host has none, else healthy."""
        outcomes = {check.outcome for check in self.checks}
        if FAILED in outcomes:
            return "error"
        unchecked = set(self.hosts) - {check.host for check in self.checks}
        return "unknown" if UNKNOWN in outcomes or unchecked else "healthy"

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.of(self.status)
