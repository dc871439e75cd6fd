"""A diagnosis as one line for monitoring: Nagios' words, and its exit codes from `nagios_code`."""

from __future__ import annotations

from reaper_ops.core.doctor.diagnosis import Diagnosis, FleetDiagnosis
from reaper_ops.core.doctor.finding import Severity
from reaper_ops.formats.health.as_text import ascii_safe

WORDS = {"healthy": "OK", "warning": "WARNING", "error": "CRITICAL", "unknown": "UNKNOWN"}
CODES = {"healthy": 0, "warning": 1, "error": 2, "unknown": 3}


def render(checkup: FleetDiagnosis) -> str:
    """`OLLAMA CRITICAL - gpu1: … | hosts=3 errors=1 warnings=0 unknown=0`."""
    sick = [host for host in checkup.hosts if host.severity or host.state is None]
    said = "; ".join(_line_of(host) for host in sorted(sick, key=lambda host: host.severity is not Severity.ERROR)[:3])
    more = f"; and {len(sick) - 3} more hosts" if len(sick) > 3 else ""
    counts = {
        "hosts": len(checkup.hosts),
        "errors": sum(host.severity is Severity.ERROR for host in checkup.hosts),
        "warnings": sum(host.severity is Severity.WARNING for host in checkup.hosts),
        "unknown": sum(host.state is None for host in checkup.hosts),
    }
    numbers = " ".join(f"{name}={count}" for name, count in counts.items())
    return f"OLLAMA {WORDS[checkup.status]} - {said or 'all healthy'}{more} | {numbers}"


def nagios_code(checkup: FleetDiagnosis) -> int:
    """0 OK, 1 warning, 2 critical, 3 unknown, as Nagios and its kin read them."""
    return CODES[checkup.status]


def _line_of(host: Diagnosis) -> str:
    first = host.causes[0].finding if host.causes else None
    text = f"{first.summary} [{first.id}]" if first else host.problem or f"{host.state or 'unknown'}: {host.summary}"
    return ascii_safe(f"{host.host}: {text}".replace("|", "/"))
