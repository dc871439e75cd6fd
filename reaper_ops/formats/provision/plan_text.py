"""A plan for people: per host the changes, each with its reason, files as diffs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from reaper_ops.core.provision.choices import PlanChoice
from reaper_ops.core.provision.plan import Action, Plan
from reaper_ops.core.values import counted, human_bytes
from reaper_ops.formats.visible import one_line


def render(
    plans: Sequence[Plan],
    problems: Mapping[str, str],
    *,
    note: str = "",
    diffs: bool = True,
    choices: Mapping[str, tuple[PlanChoice, ...]] | None = None,
) -> str:
    lines: list[str] = []
    for plan in plans:
        lines += _host(plan, diffs) + _choices(plan, (choices or {}).get(plan.host, ()), diffs)
    lines += [one_line(f"{host}: could not be read: {text}") for host, text in problems.items()]
    return "\n".join([*lines, "", _summary(plans, problems), *([one_line(note)] if note else [])])


def _host(plan: Plan, diffs: bool) -> list[str]:
    if plan.blockers:
        head = f"{one_line(plan.host)}: cannot be changed"
    elif plan.is_empty:
        head = f"{one_line(plan.host)}: as configured, nothing to do"
    else:
        head = f"{one_line(plan.host)}: {counted(len(plan.actions), 'change')}"
    lines = [head, *(one_line(f"  error: {text}") for text in plan.blockers)]
    lines += [line for action in plan.actions for line in _action(action, diffs)]
    return lines + [one_line(f"  warning: {text}") for text in plan.warnings]


def _choices(plan: Plan, choices: Sequence[PlanChoice], diffs: bool) -> list[str]:
    """What may follow instead, once engine and tools are there: only what differs from the plan above."""
    if not choices or plan.blockers:
        return []
    shown = {(action.id, action.target): _added(action) for action in plan.actions}
    lines = ["  or one of these, as engine and tools turn out to be once they are installed:"]
    for choice in choices:
        lines.append(one_line(f"    {choice.name}: {choice.reason}"))
        for action in choice.actions:
            before, after = shown.get((action.id, action.target)), _added(action)
            if before != after:
                lines.append(one_line(f"      {action.id:<20} {action.target}: {action.reason}"))
                lines += (
                    [one_line(f"          {line.expandtabs()}") for line in _changed(before or [], after)]
                    if diffs
                    else []
                )
    return lines


def _added(action: Action) -> list[str]:
    return [line[1:] for line in action.diff.splitlines() if line.startswith("+") and not line.startswith("+++ ")]


def _changed(before: Sequence[str], after: Sequence[str]) -> list[str]:
    return [line for line in difflib.ndiff(before, after) if line[:1] in "+-"]


def _action(action: Action, diffs: bool) -> list[str]:
    size = f" ({human_bytes(action.bytes)})" if action.bytes else ""
    lines = [one_line(f"  {action.id:<20} {action.target}: {action.reason}{size}")]
    if diffs and action.diff:
        lines += [one_line(f"      {line.expandtabs()}") for line in action.diff.rstrip("\n").split("\n")]
    return lines


def _summary(plans: Sequence[Plan], problems: Mapping[str, str]) -> str:
    changes = sum(len(plan.actions) for plan in plans if not plan.blockers)
    downloads = sum(action.bytes or 0 for plan in plans if not plan.blockers for action in plan.actions)
    hosts = sum(1 for plan in plans if plan.actions and not plan.blockers)
    text = f"plan: {counted(changes, 'change')} on {hosts} of {len(plans) + len(problems)} hosts"
    if downloads:
        text += f", {human_bytes(downloads)} to download"
    blocked = sum(1 for plan in plans if plan.blockers)
    if blocked or problems:
        text += f"; {counted(blocked + len(problems), 'host')} cannot be changed"
    return text
