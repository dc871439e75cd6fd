"""`models mirror`: plan and bring up, ask, tidy, take down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from reaper_ops.adapters import ansible
from reaper_ops.adapters.ansible import OnEvent, Run, Source
from reaper_ops.core import isolation
from reaper_ops.core.facts.answers import mapping
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.inventory.settings.mirror import OFFLINE
from reaper_ops.core.mirror import plan, reach, status
from reaper_ops.core.mirror.reach import Peer
from reaper_ops.core.mirror.status import Seen, Status
from reaper_ops.core.mirror.work import Work
from reaper_ops.core.provision.plan import Action
from reaper_ops.errors import ReaperError

PLAYBOOK = "mirror.yml"


def hosts(source: Source) -> tuple[Host, ...]:
    known = ansible.inventory(source).hosts
    found = tuple(host for host in known if host.settings.mirror_runtime != "none")
    if not found:
        step = "set `mirror_runtime: systemd` (or docker, process) for the host that shall be it"
        raise ReaperError(", ".join(source.inventory), "no host is a site mirror", step)
    everybody = known if source.limit is None else ansible.inventory(replace(source, limit=None)).hosts
    peers = {host.name: Peer(host.name, host.address, host.connection) for host in everybody}
    return tuple(replace(host, settings=_bound(host, peers)) for host in found)


def _bound(host: Host, peers: Mapping[str, Peer]) -> Settings:
    return reach.bound(host.settings, peers[host.name], [peer for name, peer in peers.items() if name != host.name])


def _play(source: Source, known: tuple[Host, ...], do: str, on_event: OnEvent | None, **more: Any) -> Run:
    check = bool(more.pop("check", False))
    limit = ",".join(host.name for host in known)
    variables = {"reaper_do": do, **more}
    return ansible.playbook(PLAYBOOK, source, on_event=on_event, limit=limit, check=check, variables=variables)


def _results(run: Run, id_: str) -> dict[str, Mapping[str, Any]]:
    return {event["host"]: event["result"] for event in run.results if event.get("id") == id_}


def _problems(run: Run) -> dict[str, str]:
    return {**run.unreachable, **run.failed}


def _planned(run: Run) -> Work:
    """What a host tells that is no plan is that host's problem."""
    rows, problems = _results(run, "mirror/plan"), _problems(run)
    told = {host: result["actions"] for host, result in rows.items() if "actions" in result}
    todo = isolation.each(told, lambda host: tuple(Action(**row) for row in told[host]), str, problems)
    return Work(todo, problems=problems)


def up(source: Source, confirm: Callable[[Work], bool], on_event: OnEvent | None = None) -> Work:
    """`confirm` gets the plan; hosts that have converged are skipped."""
    known = hosts(source)
    looked = _play(source, known, "plan", on_event)
    planned = _planned(looked)
    doing = tuple(host for host in known if planned.todo.get(host.name))
    if not doing or not confirm(planned):
        return planned
    shown = {host: result["confirm"] for host, result in _results(looked, "mirror/plan").items()}
    run = _play(source, doing, "up", on_event, reaper_confirmed=shown)
    return Work(planned.todo, {}, {**planned.problems, **_problems(run)}, applied=True, withheld=run.withheld)


def ask(source: Source, on_event: OnEvent | None = None) -> tuple[Status, ...]:
    known = hosts(source)
    run = _play(source, known, "status", on_event)
    told = {id_: _results(run, f"mirror/{id_}") for id_ in ("plan", "probe", "store")}
    problems = _problems(run)

    def asked(host: Host) -> Status:
        return isolation.alone(
            host.name,
            lambda: _status(host, problems.get(host.name, ""), told),
            lambda said: Status(host.name, problem=said),
        )

    return tuple(map(asked, known))


def _status(host: Host, problem: str, told: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Status:
    answers = mapping(told["probe"].get(host.name, {}).get("answers"))
    if problem or not answers:
        return Status(host.name, problem=problem or "told nothing")

    def last(id_: str) -> Mapping[str, Any]:
        rows = mapping(answers.get(id_)).get("exchanges")
        return mapping(rows[-1]) if isinstance(rows, list) and rows else {}

    actions = told["plan"].get(host.name, {}).get("actions", [])
    seen = Seen(
        tuple(dict.fromkeys(row["id"] for row in actions)),
        last("mirror"),
        last("own"),
        last("upstream"),
        host.settings.mirror_upstream == OFFLINE,
        mapping(told["store"].get(host.name, {}).get("store")),
        plan.local_url(host.settings),
    )
    return status.judge(host.name, seen, last("load"))


def gc(
    source: Source,
    keep: frozenset[str] | None,
    *,
    verify: bool = False,
    dry: bool = True,
    on_event: OnEvent | None = None,
) -> Work:
    """`keep`: digests of blobs that stay; None keeps all whose bytes are right."""
    more: dict[str, Any] = {"reaper_verify": verify, "check": dry}
    if keep is not None:
        more["reaper_keep"] = sorted(keep)
    run = _play(source, hosts(source), "gc", on_event, **more)
    return Work({}, _results(run, "mirror/gc"), _problems(run), applied=not dry)


def down(source: Source, *, purge: bool, dry: bool, shown: Work | None = None, on_event: OnEvent | None = None) -> Work:
    """`shown`: what a dry run said; a host that has more to remove by now is left alone."""
    manifests = {host: result["manifest"] for host, result in (shown.results if shown else {}).items()}
    more = {"reaper_shown": manifests} if shown else {}
    run = _play(source, hosts(source), "down", on_event, reaper_purge=purge, check=dry, **more)
    return Work({}, _results(run, "mirror/remove"), _problems(run), applied=not dry, withheld=run.withheld)
