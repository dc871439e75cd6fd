"""`reaper-ops doctor --fix`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click

from reaper_ops.adapters.ansible import Source
from reaper_ops.core.doctor.diagnosis import FleetDiagnosis
from reaper_ops.core.doctor.fix import Proposal
from reaper_ops.errors import ReaperError
from reaper_ops.formats.visible import one_line


def run(source: Source, output: str, *, yes: bool, accept: Sequence[str]) -> int:
    """Shows, asks, applies, looks again. The exit code is that of the second look."""
    from reaper_ops.core.doctor.diagnose import BY_ID
    from reaper_ops.flows.doctor import fix
    from reaper_ops.formats.doctor import as_text as doctor_text
    from reaper_ops.formats.doctor import fix_text
    from reaper_ops.formats.progress import choose as choose_progress

    for id_ in accept:
        if id_ not in BY_ID:
            raise ReaperError("--accept", f"{id_} is no id of a finding", "`reaper-ops runbook` lists them")
    if output not in {"text", "json"}:
        raise ReaperError("--output", f"{output} cannot show what was done", "use text or json with --fix")

    def choose(checkup: FleetDiagnosis, found: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        progress.pause()
        if output == "text":
            click.echo(doctor_text.render(checkup))
        click.echo(fix_text.offer(found), err=output == "json")
        return _allowed(found, yes=yes, accept=accept)

    with choose_progress(output) as progress:
        done = fix.fix(source, choose, progress)
    if output == "json":
        click.echo(json.dumps(fix_text.document(done.before, done.after, done.outcomes), indent=1))
    elif done.outcomes:
        click.echo(fix_text.result(done.outcomes))
        click.echo(doctor_text.render(done.after))
    return done.after.exit_code


def _allowed(found: tuple[Proposal, ...], *, yes: bool, accept: Sequence[str]) -> tuple[Proposal, ...]:
    """The safe ones together by one yes or --yes; each other one by a yes of its own or --accept."""
    safe = tuple(p for p in found if p.is_safe)
    others = tuple(p for p in found if not p.is_safe)
    someone = sys.stdin.isatty()
    if safe and not yes and not someone:
        raise ReaperError(
            "doctor --fix", "standard input is not a terminal", "give --yes to apply the safe remedies as shown"
        )
    many = f"{len(safe)} safe remed{'y' if len(safe) == 1 else 'ies'}"
    chosen = safe if safe and (yes or click.confirm(f"apply the {many}?", default=False, err=True)) else ()
    return (*chosen, *(p for p in others if p.id in accept or (someone and not yes and _wanted(p))))


def _wanted(proposal: Proposal) -> bool:
    return click.confirm(
        one_line(f"{proposal.host}: {proposal.text} ({proposal.id}) - do it?"), default=False, err=True
    )
