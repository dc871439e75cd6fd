"""A diagnosis for people: the cause, the evidence, the remedy as numbered commands, how to check that it worked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from reaper_ops.core.doctor.diagnosis import Blind, Cause, Diagnosis, FleetDiagnosis
from reaper_ops.core.doctor.finding import Automate, Finding, Severity, Step
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.core.values import counted
from reaper_ops.formats.health.as_text import Paint, ascii_safe, colours, wrapped
from reaper_ops.formats.visible import one_line

SHOWN = 6
PARTS = 4
"""Names of parts that were not read for the same reason."""
CLASSES = {
    Automate.SAFE: "safe: `doctor --fix` does it",
    Automate.ASK: "`doctor --fix` asks first",
    Automate.NEVER: "yours to do",
}
KINDS = {Severity.ERROR: "error", Severity.WARNING: "warning", None: "good"}


def render(checkup: FleetDiagnosis, *, verbose: bool = False) -> str:
    """Healthy hosts on one line each; sick hosts last, next to the prompt and the counts."""
    paint = colours()
    ordered = sorted(
        checkup.hosts, key=lambda host: (host.state is None, ("good", "warning", "error").index(_kind(host)))
    )
    width = min(max((len(host.host) for host in ordered), default=0), 24)
    lines = [line for host in ordered for line in _host(host, width, paint, verbose)]
    return "\n".join([*lines, "", *_footer(checkup, paint)])


def _kind(host: Diagnosis) -> str:
    return KINDS[host.severity]


def _host(host: Diagnosis, width: int, paint: Paint, verbose: bool) -> Iterator[str]:
    state = "unknown" if host.state is None else str(host.state)
    about = "  ".join(part for part in (host.url, f"Ollama {host.version}" if host.version else "") if part)
    quiet = host.severity is None and host.state is not None
    summary = f"  {host.summary}" if quiet else ""
    kind = _kind(host) if host.state is not None else "unknown"
    yield f"{ascii_safe(host.host):<{width}}  {paint(f'{state:<18}', kind)}  {ascii_safe(about + summary)}".rstrip()
    if host.problem:
        yield from wrapped("problem: ", host.problem)
        if host.next_step and host.state is None:
            yield from wrapped("next: ", host.next_step)
    if not host.problem and not (host.explained if host.state is not None else host.causes):
        yield from _unexplained(host, paint)
    for number, cause in enumerate(host.causes):
        yield from _cause(cause, first=number == 0, paint=paint, verbose=verbose)
    for note in host.notes:
        yield from wrapped("note: ", note)
    yield from _unseen(host, verbose)


def _unexplained(host: Diagnosis, paint: Paint) -> Iterator[str]:
    if host.state is None:
        yield from wrapped("", f"{host.summary}, and no rule matches what was read")
        return
    yield from wrapped("", f"{host.summary}; no rule explains it")
    yield from _evidence(host.evidence)
    if host.next_step:
        yield from wrapped("next: ", host.next_step)
    for question in host.questions:
        yield from wrapped("? ", question)


def _cause(cause: Cause, *, first: bool, paint: Paint, verbose: bool) -> Iterator[str]:
    finding = cause.finding
    doubt = "" if finding.confidence == "certain" else f" ({finding.confidence})"
    label = "cause: " if first else "also: "
    head, *rest = wrapped(label, f"{finding.summary}{doubt} [{finding.id}]")
    yield head.replace(label.strip(), paint(label.strip(), KINDS[finding.severity]), 1)
    yield from rest
    shown = finding.evidence if verbose else finding.evidence[:SHOWN]
    yield from _evidence(shown)
    for other in cause.also:
        yield from _consequence(other, verbose)
    for number, step in enumerate(cause.steps, 1):
        yield from _step(number, step, paint)
    yield from wrapped("check: ", cause.verify)


def _consequence(finding: Finding, verbose: bool) -> Iterator[str]:
    yield from wrapped("-> ", f"{finding.summary} [{finding.id}]")
    if verbose:
        yield from _evidence(finding.evidence)


def _step(number: int, step: Step, paint: Paint) -> Iterator[str]:
    yield from wrapped(f"{number}. ", f"{step.text} ({CLASSES[step.automate]})")
    if step.command:
        yield f"       {paint('$', 'quiet')} {one_line(step.command)}"


def _evidence(rows: tuple[Evidence, ...]) -> Iterator[str]:
    for row in rows:
        yield from wrapped("- ", f"{row.source}: {row.text}")


def _unseen(host: Diagnosis, verbose: bool) -> Iterator[str]:
    quiet = host.severity is None and host.state is not None and not verbose
    if not host.blind or quiet:
        return
    if verbose:
        for gap in host.blind:
            yield from wrapped("not read: ", f"{gap.part} ({gap.why}); it could show {', '.join(gap.ids)}")
        return
    for why, gaps in _by_reason(host.blind).items():
        parts, ids = [gap.part for gap in gaps], dict.fromkeys(id_ for gap in gaps for id_ in gap.ids)
        verb = "it" if len(parts) == 1 else "they"
        yield from wrapped("not read: ", f"{_first_of(parts, PARTS)} ({why}); {verb} could show {_first_of(ids, 3)}")


def _by_reason(blind: Sequence[Blind]) -> dict[str, list[Blind]]:
    found: dict[str, list[Blind]] = {}
    for gap in blind:
        found.setdefault(gap.why, []).append(gap)
    return found


def _first_of(names: Collection[str], number: int) -> str:
    more = f" and {len(names) - number} more" if len(names) > number else ""
    return ", ".join(islice(names, number)) + more


def _word(host: Diagnosis) -> str:
    """What the host counts as: its first cause, the state that none explains, or nothing where it is well."""
    if host.problem:
        return "not examined"
    if host.state not in {None, State.HEALTHY} and not host.explained:
        return f"{host.state} unexplained"
    return host.causes[0].finding.id if host.causes else ""


def _footer(checkup: FleetDiagnosis, paint: Paint) -> list[str]:
    words = Counter(word for host in checkup.hosts if (word := _word(host)))
    hosts = counted(len(checkup.hosts), "host")
    listed = ", ".join(f"{number} {word}" for word, number in words.most_common()) or "no findings"
    kind = {"healthy": "good"}.get(checkup.status, checkup.status)
    lines = [f"{hosts}: {listed} -> {paint(checkup.status, kind)} (exit {checkup.exit_code})"]
    parts = dict.fromkeys(part for host in checkup.hosts for part in host.simulated)
    return [*lines, *([f"simulated: {ascii_safe('; '.join(parts))}"] if parts else [])]
