"""What the evidence proves of the server as a whole."""

from __future__ import annotations

from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.health.report import State


def proven_well(case: HostEvidence) -> bool:
    """Whether the API answered what a working server answers."""
    return case.state is State.HEALTHY and case.seen.models is not None


def asked(case: HostEvidence) -> bool:
    """Whether enough was asked over HTTP to speak of a state: more than a version or a greeting."""
    if case.seen.models is not None or not case.seen.exchanges:
        return bool(case.seen.exchanges)
    greeted = case.state is State.DEGRADED and all(exchange.status == 200 for exchange in case.seen.exchanges)
    return case.state is not State.HEALTHY and not greeted
