"""A plan for machines; the schema's name is its version."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence

from reaper_ops.core.provision.choices import PlanChoice
from reaper_ops.core.provision.confirmed import Confirmed, Steps
from reaper_ops.core.provision.plan import Plan

SCHEMA = "reaper-ops/plan/1"


def render(
    plans: Sequence[Plan],
    problems: Mapping[str, str],
    note: str = "",
    *,
    confirmed: Mapping[str, Confirmed] | None = None,
    choices: Mapping[str, tuple[PlanChoice, ...]] | None = None,
) -> str:
    hosts = [
        {
            **dataclasses.asdict(plan),
            "todo": list(plan.todo),
            "digests": _digests((confirmed or {}).get(plan.host, Confirmed()).steps),
            "choices": [_choice(choice) for choice in (choices or {}).get(plan.host, ())],
        }
        for plan in plans
    ]
    unread = [{"host": host, "problem": text} for host, text in problems.items()]
    return json.dumps({"schema": SCHEMA, "hosts": hosts, "unread": unread, "note": note}, indent=1)


def _digests(steps: Steps) -> dict[str, str]:
    """By action, over all that it is given: rendered files, arguments, what a file replaces."""
    return {id_: step.digest for id_, step in steps.items()}


def _choice(choice: PlanChoice) -> dict[str, object]:
    actions = [dataclasses.asdict(action) for action in choice.actions]
    return {"name": choice.name, "reason": choice.reason, "actions": actions, "digests": _digests(choice.steps)}
