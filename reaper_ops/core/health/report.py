"""The one shape of every answer. Only Report owns status and exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reaper_ops.core.isolation import NEXT_STEP
from reaper_ops.errors import ExitCode


class State(StrEnum):
    """The closed set of states of a probed host."""

    HEALTHY = "healthy"
    STARTING = "starting"
    CONNECTION_REFUSED = "connection-refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    DNS = "dns"
    TLS = "tls"
    NOT_OLLAMA = "not-ollama"
    HTTP_ERROR = "http-error"
    OVERLOADED = "overloaded"
    OUT_OF_MEMORY = "out-of-memory"
    CPU_FALLBACK = "cpu-fallback"
    PARTIAL_OFFLOAD = "partial-offload"
    MODEL_MISSING = "model-missing"
    DEGRADED = "degraded"


WARNINGS = frozenset({State.STARTING, State.OVERLOADED, State.PARTIAL_OFFLOAD})


@dataclass(frozen=True)
class Evidence:
    """One line that was seen, and where: `GET /api/version`, `kernel log`, `systemctl show`."""

    source: str
    text: str


@dataclass(frozen=True)
class HostReport:
    """state is None when the host could not be checked; problem then says why.

    withheld: what `up` did not do, because the host had changed since the plan was confirmed.
    """

    host: str
    state: State | None
    summary: str = ""
    evidence: tuple[Evidence, ...] = ()
    cause: str | None = None
    next_step: str = ""
    problem: str = ""
    version: str | None = None
    url: str = ""
    models: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    simulated: tuple[str, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def word(self) -> str:
        """The state, or `unknown`."""
        return "unknown" if self.state is None else str(self.state)


def broken(host: HostReport, said: str) -> HostReport:
    """In the place of a report that cannot be shown."""
    return HostReport(host.host, None, problem=said, next_step=NEXT_STEP, url=host.url)


SCHEMA = "reaper-ops/report/1"


@dataclass(frozen=True)
class Report:
    """time: when it was taken, in seconds since 1970; 0 when that is not known."""

    verb: str
    hosts: tuple[HostReport, ...]
    time: float = 0.0

    @property
    def status(self) -> str:
        """healthy, warning, error, or unknown when a host could not be checked and none is in error.

        A host that was not brought to its desired state because the plan is out of date is a warning as it is.
        """
        judged = [host for host in self.hosts if not host.withheld]
        states = [host.state for host in judged]
        if any(s is not None and s is not State.HEALTHY and s not in WARNINGS for s in states):
            return "error"
        if any(host.problem and host.state is not None for host in judged):
            return "error"
        if any(s is None for s in states):
            return "unknown"
        return "warning" if len(judged) < len(self.hosts) or any(s in WARNINGS for s in states) else "healthy"

    @property
    def exit_code(self) -> ExitCode:
        """0 healthy, 3 a finding is an error, 4 only warnings, 5 too little could be checked."""
        return ExitCode.of(self.status)


@dataclass(frozen=True)
class Tally:
    """What a watch has counted since it began; seconds is how long its last round took."""

    rounds: int = 0
    failures: int = 0
    seconds: float = 0.0
    changes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class StateChange:
    """before is None for a host that is seen for the first time."""

    before: HostReport | None
    after: HostReport


def changes(last: Report | None, report: Report) -> tuple[StateChange, ...]:
    """Hosts whose state, cause, problem, version or models differ between two reports."""
    before = {host.host: host for host in last.hosts} if last else {}
    found = [StateChange(before.get(host.host), host) for host in report.hosts]
    return tuple(c for c in found if c.before is None or _mark(c.before) != _mark(c.after))


def _mark(host: HostReport) -> tuple[object, ...]:
    return host.state, host.cause, host.problem, host.version, frozenset(host.models)
