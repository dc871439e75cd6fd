"""A report for people: sick hosts in full, with evidence and next step; healthy hosts on one line."""

from __future__ import annotations

import os
import sys
import textwrap
from collections import Counter

from reaper_ops.core.health.report import WARNINGS, HostReport, Report, State, StateChange
from reaper_ops.core.secrets import redact
from reaper_ops.core.values import counted
from reaper_ops.formats import visible

WIDTH = 110
SHOWN_MODELS = 6
COLOURS = {"good": "32", "warning": "33", "error": "31", "unknown": "35", "quiet": "2"}


class Paint:
    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, text: str, kind: str) -> str:
        return visible.painted(text, COLOURS[kind]) if self._on else text


def render(report: Report) -> str:
    """Sick hosts come last, next to the prompt and the counts."""
    paint = colours()
    ordered = sorted(report.hosts, key=rank)
    width = max((len(host.host) for host in ordered), default=0)
    blocks = [line for host in ordered for line in _host(host, min(width, 24), paint)]
    return "\n".join([*blocks, "", *_footer(report, paint)])


def change(found: StateChange) -> str:
    """One change as one or more lines, for `--watch`."""
    paint = colours()
    lines = _host(found.after, len(found.after.host), paint)
    if found.before is not None:
        lines[0] += paint(f"  (was {found.before.word})", "quiet")
    return "\n".join(lines)


def colours() -> Paint:
    """Color only where a terminal shows it and nothing turns it off."""
    return Paint(sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


def rank(host: HostReport) -> int:
    return {"good": 0, "warning": 1, "unknown": 2, "error": 3}[kind_of(host)]


def kind_of(host: HostReport) -> str:
    if host.withheld:
        return "warning"
    if host.state is None:
        return "unknown"
    if host.problem:
        return "error"
    if host.state is State.HEALTHY:
        return "good"
    return "warning" if host.state in WARNINGS else "error"


def _host(host: HostReport, width: int, paint: Paint) -> list[str]:
    kind = kind_of(host)
    facts = [host.url, *([f"Ollama {host.version}"] if host.version else []), *_models(host)]
    if kind == "good" and host.summary:
        facts.append(host.summary)
    state = paint(f"{host.word:<18}", kind)
    lines = [f"{ascii_safe(host.host):<{width}}  {state}  {ascii_safe('  '.join(facts))}".rstrip()]
    for text in host.withheld:
        lines += wrapped("changed since the plan: ", text)
    lines += wrapped("next: ", "nothing of that was done; `reaper-ops up` shows the new plan") if host.withheld else []
    lines += _why(host, paint) if kind != "good" and not host.withheld else []
    lines += wrapped("changed: ", ", ".join(host.changed)) if host.changed else []
    return lines + [line for note in host.notes for line in wrapped("note: ", note)]


def _models(host: HostReport) -> list[str]:
    if not host.models:
        return []
    more = len(host.models) - SHOWN_MODELS
    return [", ".join(host.models[:SHOWN_MODELS]) + (f" and {more} more" if more > 0 else "")]


def _why(host: HostReport, paint: Paint) -> list[str]:
    cause = f" [{host.cause}]" if host.cause else ""
    lines = wrapped("", f"{host.summary}{cause}") if host.summary else []
    lines += wrapped("problem: ", host.problem) if host.problem else []
    for seen in host.evidence:
        lines += wrapped("- ", f"{seen.source}: {seen.text}")
    if host.next_step:
        first, *rest = wrapped("next: ", host.next_step)
        lines += [first.replace("next:", paint("next:", "good"), 1), *rest]
    return lines


def wrapped(label: str, text: str) -> list[str]:
    """Lines under a host; commands and log lines are not hyphenated or cut. A secret is known only in one piece."""
    return textwrap.wrap(
        ascii_safe(" ".join(redact(text).split())),
        WIDTH,
        initial_indent=f"    {label}",
        subsequent_indent=" " * (4 + len(label)),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _footer(report: Report, paint: Paint) -> list[str]:
    counts = Counter(host.word for host in report.hosts)
    listed = ", ".join(f"{number} {state}" for state, number in sorted(counts.items(), key=_order))
    hosts = counted(len(report.hosts), "host")
    kind = {"healthy": "good"}.get(report.status, report.status)
    lines = [f"{hosts}: {listed} -> {paint(report.status, kind)} (exit {report.exit_code})"]
    parts = dict.fromkeys(part for host in report.hosts for part in host.simulated)
    if parts:
        lines.append(f"simulated: {ascii_safe('; '.join(parts))}")
    return lines


def _order(item: tuple[str, int]) -> tuple[bool, int, str]:
    return item[0] != "healthy", -item[1], item[0]


def ascii_safe(text: str) -> str:
    """No control character of a server's answer reaches a terminal; letters beyond ASCII are escaped."""
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in text)
