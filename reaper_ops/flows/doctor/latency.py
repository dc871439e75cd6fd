"""`doctor --slow`: how long answers take, and what they wait for. Loads nothing unless asked to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reaper_ops.adapters import ansible, sweep
from reaper_ops.adapters.ansible import OnEvent, Source
from reaper_ops.core import isolation, url
from reaper_ops.core.doctor import timing
from reaper_ops.core.facts import exchanges
from reaper_ops.core.facts.answers import mapping
from reaper_ops.core.facts.model import Exchange, Facts
from reaper_ops.core.facts.traces import Timing
from reaper_ops.core.health.probe import Ladder
from reaper_ops.core.inventory.hosts import Host, Inventory

Talks = dict[str, tuple[Exchange, ...]]
PAIR = (1, 2)
SPARE = 10.0


def measure(
    source: Source,
    inventory: Inventory,
    hosts: Sequence[str],
    facts: Mapping[str, Facts],
    *,
    load: bool = False,
    on_event: OnEvent | None = None,
) -> dict[str, tuple[Timing, ...]]:
    """Of each host: with `load` a cold answer when nothing is resident, then one of a resident model by itself, then
    two at once. A host where nothing is resident, or that does not answer, has none."""
    asked = [inventory.by_name[name] for name in hosts]
    direct = [host for host in asked if host.is_direct]
    inside = [host for host in asked if not host.is_direct and host.name in facts]

    def talk(some: Mapping[str, Host], ladders: Mapping[str, Ladder]) -> Talks:
        near = {key: str(url.parse(host.base_url)) for key, host in some.items() if host in direct}
        said = dict(sweep.sweep(near, ladders))
        return said | _on_hosts(source, {k: h for k, h in some.items() if h in inside}, ladders, on_event)

    first = {host.name: timing.ladder(host.settings.models() if load else None) for host in asked}
    alone = talk({host.name: host for host in (*direct, *inside)}, first)
    found = {name: _read(name, done, first[name]) for name, done in alone.items()}
    again = {f"{name} {n}": (name, n) for name, timings in found.items() if timing.alone(timings) for n in PAIR}
    pairs = {key: timing.ladder(number=n) for key, (_, n) in again.items()}
    both = talk({key: inventory.by_name[name] for key, (name, _) in again.items()}, pairs)
    for key, (name, _) in again.items():
        found[name] += _read(name, both.get(key, ()), pairs[key], parallel=len(PAIR))
    return found


def _read(host: str, done: Sequence[Exchange], ladder: Ladder, parallel: int = 1) -> tuple[Timing, ...]:
    return isolation.alone(
        host, lambda: timing.read(done, ladder, parallel), lambda said: (Timing("-", False, 0.0, error=said),)
    )


def _on_hosts(
    source: Source, some: Mapping[str, Host], ladders: Mapping[str, Ladder], on_event: OnEvent | None
) -> Talks:
    """The same conversations, led from the hosts themselves: one round of Ansible for each step of all of them."""
    said: Talks = dict.fromkeys(some, ())
    while True:
        requests = {key: request for key in some if (request := ladders[key](said[key])) is not None}
        if not requests:
            return said
        asks: dict[str, list[Mapping[str, Any]]] = {}
        for key, request in requests.items():
            asks.setdefault(some[key].name, []).append(exchanges.ask(key, some[key].settings, [request]))
        budget = max(request.timeout for request in requests.values()) + SPARE
        answers = _asked(source, asks, budget, on_event)
        for key in requests:
            said[key] += _exchanges_of(answers.get(key))


def _asked(
    source: Source, asks: Mapping[str, list[Mapping[str, Any]]], budget: float, on_event: OnEvent | None
) -> dict[str, Mapping[str, object]]:
    run = ansible.playbook(
        "ask.yml",
        source,
        on_event=on_event,
        limit=",".join(asks),
        variables={"reaper_asks": asks, "reaper_budget": budget},
    )
    found: dict[str, Mapping[str, object]] = {}
    for event in run.results:
        answers = mapping(mapping(event.get("result")).get("answers"))
        found |= {key: mapping(answers.get(key)) for key in (ask["id"] for ask in asks[event["host"]])}
    return found


def _exchanges_of(answer: Mapping[str, object] | None) -> tuple[Exchange, ...]:
    """A host that did not tell ends its conversation, as a broken exchange does."""
    return exchanges.rows((answer or {}).get("exchanges")) or (Exchange(timing.GENERATE, "read", "closed"),)
