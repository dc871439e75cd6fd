"""`auth`: Ollama needs no credentials; a login confirms the connection and remembers the URL."""

from __future__ import annotations

from reaper_ops.adapters import config
from reaper_ops.core import url
from reaper_ops.core.health.report import HostReport, Report, State
from reaper_ops.flows.health.probe import probe_url

DEFAULT = "http://localhost:11434"
USABLE = frozenset({State.HEALTHY, State.PARTIAL_OFFLOAD, State.CPU_FALLBACK, State.OVERLOADED})


def remembered() -> str | None:
    found = config.read().get("ollama", {})
    address = found.get("base_url") if isinstance(found, dict) else None
    return address if isinstance(address, str) else None


def login(text: str) -> tuple[HostReport, bool]:
    """The server's report, and whether its URL is remembered now: only one that answers is."""
    report = _host(probe_url(str(url.parse(text))))
    confirmed = report.state in USABLE
    if confirmed:
        config.write({**config.read(), "ollama": {"base_url": report.url}})
    return report, confirmed


def status() -> HostReport | None:
    """The remembered server as it answers now."""
    address = remembered()
    return _host(probe_url(address)) if address else None


def logout() -> str | None:
    """Forgets the URL and says which it was."""
    address = remembered()
    if address is not None:
        config.write({name: value for name, value in config.read().items() if name != "ollama"})
    return address


def _host(report: Report) -> HostReport:
    return report.hosts[0]
