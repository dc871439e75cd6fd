"""A plan in a file: written by `plan --out`, and held against what a run wants to do by `up --plan`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from reaper_ops import __version__
from reaper_ops.adapters import lockfile
from reaper_ops.adapters.ansible import Source
from reaper_ops.core.models import request
from reaper_ops.core.models.lock import Lock
from reaper_ops.core.provision import confirmed, plan_file
from reaper_ops.core.provision.plan_file import NOT_AMONG, PlanFile, PlannedHost
from reaper_ops.flows.provision.plan import Planned


def models(source: Source, planned: Planned) -> dict[str, object]:
    """How models come: the lock beside the inventory, where there is one, and the mirror."""
    lock = lockfile.read(lockfile.place(source)) or Lock()
    wanted = {name for host in planned.inventory.hosts for name in host.settings.models()}
    return {"reaper_locked": request.locked(lock, wanted), **planned.mirror.variables()}


def of(source: Source, planned: Planned) -> PlanFile:
    """The hosts that can be changed, with their settings and actions."""
    hosts = {
        name: PlannedHost(plan_file.settings_digests(planned.inventory.by_name[name].settings), planned.confirmed[name])
        for name in planned.to_apply
    }
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return PlanFile(made, __version__, confirmed.digest(models(source, planned)), hosts)


def held(source: Source, planned: Planned, given: PlanFile) -> Planned:
    """The plan as it is now, with the hosts refused that are to get anything beyond the file."""
    now = of(source, planned)
    beyond = {host: given.differences(now, host) for host in planned.to_apply}
    absent = {host: (NOT_AMONG,) for host in given.hosts if host not in planned.inventory.by_name}
    return replace(planned, refused={**{host: texts for host, texts in beyond.items() if texts}, **absent})
