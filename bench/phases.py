"""Where the milliseconds of a no-change `up` go, seen from inside one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

from reaper_ops.adapters import ansible
from reaper_ops.adapters.ansible import Event, Source

Marks = list[tuple[str, float]]


def phases(source: Source) -> Marks:
    """What each phase took, in seconds; hosts overlap, so theirs lasts until the last of them has answered."""
    marks: Marks = [("", time.perf_counter())]

    def done(what: str) -> None:
        marks.append((what, time.perf_counter()))

    with ansible.playing("facts.yml", source, variables={"reaper_managed_only": True}, listing=True) as reading:
        done("Ansible's process starts")
        listing = reading.listing()
        done("Ansible loads itself, our core and the inventory")
        from reaper_ops.core import facts
        from reaper_ops.core.provision import desired_state
        from reaper_ops.flows.health import probe
        from reaper_ops.flows.inventory.gather import Gathered

        done("meanwhile our own program loads")
        run = reading.finish(_on(done))
    done("Ansible ends")
    answers = {event["host"]: event["result"] for event in run.results}
    inventory = ansible.inventory(source, listing, {host: one["variables"] for host, one in answers.items()})
    done("settings are read")
    found = {host: facts.parse(host, inventory.by_name[host].settings, one["answers"]) for host, one in answers.items()}
    done("facts are parsed")
    for host, one in found.items():
        desired_state.derive(inventory.by_name[host].settings, one)
    done("plans are made")
    probe.probe(source, inventory, known=Gathered(found))
    done("servers are probed and judged")
    return [(what, at - before) for (_, before), (what, at) in pairwise(marks)]


def _on(done: Callable[[str], None]) -> Callable[[Event], None]:
    started: list[str] = []

    def take(event: Event) -> None:
        if event["event"] == "start" and not started:
            started.append(event["host"])
            done("the first host is asked")
        if event["event"] == "ok":
            done(f"{event['host']} has answered")

    return take
