"""What is told of a host after `up` changed it, or could not: the problem, and a step that is not the same again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reaper_ops.core.health.report import Evidence, HostReport, State

AGAIN = "`reaper-ops up`"
MEND = f"see the problem above; once it is fixed, {AGAIN} goes on where it stopped"
LOST = "bring the host back (power, network); then `reaper-ops up` goes on where it stopped"
INTEGRITY_ONLY = "the release was checked against its own checksum file: that proves integrity, not origin"


def not_touched(host: HostReport, blockers: Sequence[str]) -> HostReport:
    """blockers: each says what is in the way and, after a semicolon, what removes it; that is the next step."""
    parts = [text.partition("; ") for text in blockers]
    steps = [step for _, _, step in parts if step]
    done = "" if any(AGAIN in step for step in steps) else f"; then {AGAIN}"
    problem = f"was not touched: {'; '.join(why for why, _, _ in parts)}"
    return replace(host, problem=problem, next_step=f"{'; and '.join(steps)}{done}")


def ended(host: HostReport, failed: str, unreachable: str, step: str) -> HostReport:
    """failed, unreachable: what the run says, empty where it went well; step: what a module says to do about it."""
    if not failed and not unreachable:
        return host
    problem = (failed or f"could not be reached: {unreachable}").removesuffix(f"; {step}" if step else "")
    repeats = not host.next_step or "reaper-ops up" in host.next_step
    return replace(host, problem=problem, next_step=step or (MEND if repeats else host.next_step))


def lost(host: HostReport, during: str, problem: str) -> HostReport:
    """A host that died on the way: nothing is known of it but that. during: the action that was not finished."""
    summary = f"was lost during {during}" if during else "was lost after its changes"
    return HostReport(host.host, State.UNREACHABLE, summary, (Evidence("ssh", problem),), None, LOST, url=host.url)
