"""What a unit's files set and the running server does not have."""

from __future__ import annotations

from collections.abc import Mapping

from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.reachability import unit_text
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.provision.render import HASH_VARIABLE


def lines(case: HostEvidence) -> tuple[Evidence, ...]:
    """Variables that the unit sets and the running server does not have, or has otherwise."""
    facts = case.facts
    wanted = unit_text.environment(case.traces.unit_text)
    if facts is None or (facts.process is None and not case.unit):
        return _elsewhere(case, wanted or {})
    if facts.process is None or not wanted or case.unit.get("ActiveState") != "active":
        return ()
    if case.unit.get("MainPID") != str(facts.process.pid):
        return ()
    has = facts.process.environ
    named = {n: v for n, v in wanted.items() if n.startswith("OLLAMA_") or n == HASH_VARIABLE}
    wrong = [n for n, v in named.items() if has.get(n) != v and "%" not in v and "***" not in (v + has.get(n, ""))]
    telling = [name for name in wrong if name != HASH_VARIABLE][:3] + [name for name in wrong if name == HASH_VARIABLE]
    return tuple(
        Evidence("environment of the server", f"{n}={has.get(n, '')}; the unit has {wanted[n]}") for n in telling
    )


def _elsewhere(case: HostEvidence, wanted: Mapping[str, str]) -> tuple[Evidence, ...]:
    """Of a host of which only files and sockets are known: the server listens where its unit does not say."""
    host = wanted.get("OLLAMA_HOST", "")
    there = [row for row in case.traces.listeners or () if row.port == case.settings.ollama_port]
    wide = host.rpartition("//")[2].partition(":")[0] in {"0.0.0.0", "[", "*"}  # noqa: S104 - compared, not bound
    if not there or not wide or not all(row.address.startswith("127.") or row.address == "::1" for row in there):
        return ()
    shown = f"listens on {there[0].address}:{there[0].port}; the unit's files have OLLAMA_HOST={host}"
    return (Evidence("ss", shown),)
