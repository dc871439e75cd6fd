"""A plan for machines; the schema's name is its version."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence

from reaper_ops.core.plan import Plan

SCHEMA = "reaper-ops/plan/1"


def render(plans: Sequence[Plan], problems: Mapping[str, str], note: str = "") -> str:
    hosts = [{**dataclasses.asdict(plan), "todo": list(plan.todo)} for plan in plans]
    unread = [{"host": host, "problem": text} for host, text in problems.items()]
    return json.dumps({"schema": SCHEMA, "hosts": hosts, "unread": unread, "note": note}, indent=1)
