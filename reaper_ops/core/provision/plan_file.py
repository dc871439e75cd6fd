"""A plan in a file, for change control: what was decided, by which version, for which hosts. It holds no secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import confirmed
from reaper_ops.core.provision.confirmed import Confirmed
from reaper_ops.core.provision.plan.model import redact
from reaper_ops.errors import ReaperError

SCHEMA = "reaper-ops/plan-file/1"
AGAIN = "make it again with `reaper-ops plan --out FILE`"
NOT_IN_FILE = "the plan file does not name this host"
NOT_AMONG = "the plan file names this host, and it is not among the hosts of this run"
_SECRET = re.compile(r"key|token|secret|passw|credential|cookie|auth", re.IGNORECASE)


@dataclass(frozen=True)
class PlannedHost:
    """settings: a digest of each, so that a difference can be named; confirmed: the actions."""

    settings: Mapping[str, str]
    confirmed: Confirmed


@dataclass(frozen=True)
class PlanFile:
    """models: a digest of the lock and the mirror by which models come."""

    made: str
    version: str
    models: str
    hosts: Mapping[str, PlannedHost]

    def differences(self, now: PlanFile, host: str) -> tuple[str, ...]:
        """What the host is to get now beyond this plan, in words; less is no difference."""
        planned, wanted = self.hosts.get(host), now.hosts.get(host)
        if wanted is None:
            return ()
        if planned is None:
            return (NOT_IN_FILE,)
        names = sorted({*planned.settings, *wanted.settings})
        found = [f"{name}: another value" for name in names if planned.settings.get(name) != wanted.settings.get(name)]
        if "models/pull" in wanted.confirmed.steps and self.models != now.models:
            found.append("models.lock or the site mirror: another than in the plan")
        found += planned.confirmed.differences(wanted.confirmed)
        if not found and any(choice not in planned.confirmed.choices for choice in wanted.confirmed.choices):
            found.append("what may follow an installed engine: other choices")
        return tuple(found)


def settings_digests(settings: Settings) -> dict[str, str]:
    """Passwords and keys are left out, so that nobody can find them by trying."""
    return {name: confirmed.digest(_plain(name, value)) for name, value in settings.model_dump(mode="json").items()}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(str(key), one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(name, one) for one in value]
    if isinstance(value, str):
        return "***" if _SECRET.search(name) else redact(value)
    return value


def dump(plan: PlanFile) -> str:
    row = _row(plan)
    return json.dumps({**row, "digest": confirmed.digest(row)}, indent=1) + "\n"


def _row(plan: PlanFile) -> dict[str, Any]:
    hosts = {name: {"settings": dict(h.settings), **h.confirmed.as_json()} for name, h in plan.hosts.items()}
    return {
        "schema": SCHEMA,
        "made": plan.made,
        "reaper_ops": plan.version,
        "models": plan.models,
        "hosts": hosts,
    }


def parse(place: str, text: str, version: str) -> PlanFile:
    """`version`: of this reaper_ops; a plan of another one may mean something else by the same words."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ReaperError(place, "is not a whole plan file (cut off, or not JSON)", AGAIN) from None
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise ReaperError(place, "is not a plan file of a form that this version knows", AGAIN)
    if value.get("reaper_ops") != version:
        made_by = str(value.get("reaper_ops"))[:20]
        raise ReaperError(place, f"was made by reaper_ops {made_by}, and this is {version}", AGAIN)
    given = value.pop("digest", None)
    try:
        if given != confirmed.digest(value):
            raise ReaperError(place, "was changed after it was written", AGAIN)
        return PlanFile(_text(place, value, "made"), version, _text(place, value, "models"), _hosts(place, value))
    except RecursionError:
        raise ReaperError(place, "is nested too deeply", AGAIN) from None


def _hosts(place: str, value: Mapping[str, Any]) -> dict[str, PlannedHost]:
    hosts = value.get("hosts")
    if not isinstance(hosts, dict):
        raise ReaperError(place, "`hosts` is not an object", AGAIN)
    return {name: _host(f"{place}: {name}", row) for name, row in hosts.items()}


def _host(place: str, row: object) -> PlannedHost:
    known = confirmed.parse(place, row)
    settings = row.get("settings") if isinstance(row, dict) else None
    if not isinstance(settings, dict) or not all(isinstance(one, str) for one in settings.values()):
        raise ReaperError(place, "`settings` are not digests by name", AGAIN)
    return PlannedHost(settings, known)


def _text(place: str, value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise ReaperError(place, f"`{name}` is not a text", AGAIN)
    return found
