"""Whose socket answers, and on which addresses: an exposure that is not the desired one is never healthy."""

from __future__ import annotations

from reaper_ops.core.doctor.rules.case import HostEvidence, Verdict
from reaper_ops.core.facts.model import Holder
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.core.provision import listening


def another_server(case: HostEvidence) -> Verdict | None:
    """Somebody else's server has the port, so that what answers is not what we look after."""
    found = _strangers(case)
    if not found:
        return None
    return Verdict(
        State.NOT_OLLAMA,
        f"another server answers on port {case.settings.ollama_port}, not the one that is looked after",
        tuple(_row(holder) for holder in found),
        "port-taken",
        case.ours("plan"),
    )


def exposed(case: HostEvidence) -> Verdict | None:
    """Our server listens where the inventory does not want it."""
    s, facts = case.settings, case.facts
    if not s.ollama_managed or facts is None:
        return None
    wrong = listening.elsewhere(facts.listening, s.ollama_bind, s.ollama_port)
    if not wrong:
        return None
    return Verdict(
        State.DEGRADED,
        f"the server listens on {', '.join(wrong)}; {s.ollama_bind}:{s.ollama_port} is desired",
        tuple(_row(row) for row in facts.listening or () if listening.address_of(row) in wrong),
        "exposed-unauthenticated",
        case.ours("plan"),
    )


def _strangers(case: HostEvidence) -> list[Holder]:
    s, facts = case.settings, case.facts
    if not s.ollama_managed or facts is None:
        return []
    found = listening.strangers(facts.listening, s.ollama_bind, s.ollama_port)
    return [holder for holder in found if holder.pid is not None]


def _row(holder: Holder) -> Evidence:
    who = (
        f"pid {holder.pid}, user {holder.user}: {' '.join(holder.argv[:3])}" if holder.pid else "of an unknown process"
    )
    return Evidence("listening sockets", f"{listening.address_of(holder)} {who}")
