"""Progress events beyond those of the hosts: what is wanted, over which network, and work on this machine."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from threading import Lock as Mutex

from reaper_ops.adapters.ansible import Event, OnEvent
from reaper_ops.core.models import traffic
from reaper_ops.core.models.lock import Lock

EVERY = 0.2


class ByteProgress:
    """Gives the events that a host would give. A blob of several models counts for the first."""

    def __init__(self, place: str, status: str, lock: Lock, on_event: OnEvent | None) -> None:
        self.place, self.status, self.on_event = place, status, on_event
        self.model: dict[str, str] = {}
        self.total: dict[str, int] = {}
        for one in lock.models:
            fresh = {digest: size for digest, size in one.blobs.items() if digest not in self.model}
            self.model.update(dict.fromkeys(fresh, one.name))
            self.total[one.name] = sum(fresh.values())
        self.done = dict.fromkeys(self.total, 0)
        self._told: dict[str, float] = {}
        self._mutex = Mutex()

    @property
    def bytes(self) -> int:
        return sum(self.done.values())

    def __call__(self, digest: str, count: int) -> None:
        name = self.model[digest]
        with self._mutex:
            self.done[name] += count
            now = time.monotonic()
            whole = self.done[name] >= self.total[name]
            if self.on_event and (whole or now - self._told.get(name, 0) > EVERY):
                self._told[name] = now
                both = {"completed": self.done[name], "total": self.total[name]}
                row = {"event": "progress", "host": self.place, "model": name, "layer": digest, "status": self.status}
                self.on_event({**row, **both, "model_completed": self.done[name], "model_total": self.total[name]})


def marked(on_event: OnEvent, mirrored: Mapping[str, Collection[str]]) -> OnEvent:
    """Progress says which network it is over."""

    def with_traffic(event: Event) -> None:
        if event["event"] == "progress" and event.get("model"):
            event = {**event, "network": traffic.network(event["host"], event["model"], mirrored)}
        on_event(event)

    return with_traffic


def announce(on_event: OnEvent | None, chosen: Mapping[str, Collection[str]], lock: Lock) -> None:
    """Tells what is wanted, with its size where that is known, before the first host begins."""
    if on_event:
        sizes = {
            one: sum(found.blobs.values()) for models in chosen.values() for one in models if (found := lock.get(one))
        }
        hosts = {host: {one: sizes.get(one, 0) for one in models} for host, models in chosen.items()}
        on_event({"event": "wanted", "hosts": hosts})
