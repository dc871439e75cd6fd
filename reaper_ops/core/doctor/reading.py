"""Which hosts must be read before they can be judged."""

from __future__ import annotations

from reaper_ops.core import url
from reaper_ops.core.doctor.rules.state import judge
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.health import probe
from reaper_ops.core.health.report import State
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.isolation import alone


def needs_reading(host: Host, heard: tuple[Exchange, ...] | None, *, deep: bool) -> bool:
    """heard: what its server answered from here; None where it could not be asked."""
    if heard is None:
        return True
    if not host.settings.ollama_managed:
        return False
    return deep or host.is_local or not _is_healthy(host, heard)


def _is_healthy(host: Host, heard: tuple[Exchange, ...]) -> bool:
    """What cannot be judged is read too; the judgement itself then says why."""

    def state() -> bool:
        seen = probe.observe(host.name, str(url.parse(host.base_url)), heard)
        return judge(host.settings, seen, None, host.settings.models()).state is State.HEALTHY

    return alone(host.name, state, lambda said: False)
