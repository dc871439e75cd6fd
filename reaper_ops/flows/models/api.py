"""`models pull` by the hosts' own API: no SSH, no Ansible, one process for all hosts."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reaper_ops.adapters import pulled, sweep
from reaper_ops.adapters.ansible import OnEvent
from reaper_ops.adapters.pull_loop import Stopped, Talk, Talks
from reaper_ops.adapters.registry import Registry, RegistryError
from reaper_ops.core import isolation, url
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.models import lease as claim
from reaper_ops.core.models import lock, names, outcome, request
from reaper_ops.core.models import pull_steps as rules
from reaper_ops.core.models import push as pushing
from reaper_ops.core.models import transport as ways
from reaper_ops.core.models.outcome import Done, Interrupted, ModelsOutcome
from reaper_ops.core.models.push import PushRequest
from reaper_ops.core.models.transport import TransportChoice, Way
from reaper_ops.errors import ReaperError
from reaper_ops.formats.models.pull_progress import TASK

EVENT_EVERY = 0.25
VERIFY_TIMEOUT = 3600
Found = tuple[str, dict[str, int]]


def chosen(hosts: Sequence[Host], via: Way | None) -> dict[str, TransportChoice]:
    """By which way each host is reached; those that may be asked from here are asked once."""
    asked = ways.candidates(hosts, via) if via is None else ()
    heard = sweep.sweep({host.name: url_of(host) for host in asked}, ways.first)
    return {host.name: _choice(host, heard, via) for host in hosts}


def _choice(host: Host, heard: Mapping[str, tuple[Exchange, ...]], via: Way | None) -> TransportChoice:
    return isolation.alone(host.name, lambda: ways.choose(host, heard, via), lambda said: TransportChoice("host", said))


def url_of(host: Host) -> str:
    return str(url.parse(host.base_url))


@dataclass(frozen=True)
class Order:
    """What is wanted of all hosts: names, the lock's entries, how patient a pull is."""

    wanted: Mapping[str, Sequence[str]]
    locked: Mapping[str, Any]
    direct: bool
    options: Mapping[str, int]
    owner: str

    def params(self, host: Host) -> dict[str, Any]:
        models = list(self.wanted[host.name])
        return {
            "url": url_of(host),
            "models": models,
            "again": False,
            "locked": {name: self.locked[name] for name in models if name in self.locked},
            "sources": {} if self.direct else request.sources(host.settings),
            "insecure_registries": sorted(request.plain_http(host.settings)),
            "retries": self.options.get("reaper_retries", 4),
            "stall_timeout": self.options.get("reaper_stall_timeout", 75),
            "verify_timeout": VERIFY_TIMEOUT,
        }


@dataclass
class Lookups:
    """Manifests as registries and mirrors have them now; each name is asked once for all hosts."""

    found: dict[tuple[str, str], Found | Exception] = field(default_factory=dict)

    def before(self, asked: set[tuple[str, str]]) -> None:
        with ThreadPoolExecutor(8) as pool:
            self.found.update(zip(asked, pool.map(lambda one: _manifest(*one), asked), strict=True))

    def get(self, base_url: str, name: str, *, afresh: bool) -> Found:
        key = (base_url, name)
        if afresh or key not in self.found:
            self.found[key] = _manifest(*key)
        known = self.found[key]
        if isinstance(known, Exception):
            raise known
        return known


def _base_url(name: str, params: Mapping[str, Any]) -> str:
    host = names.split(name).host
    return f"{'http' if host in params['insecure_registries'] else 'https'}://{host}"


def _manifest(base_url: str, name: str) -> Found | Exception:
    try:
        with Registry(base_url) as registry:
            got = registry.manifest(names.split(name))
        blobs = lock.from_manifest(name, got.data, got.digest, got.url, "").blobs
    except RegistryError as error:
        return LookupError(str(error)) if error.status == 404 else _trouble(error)
    except ReaperError as error:
        return _trouble(error)
    return got.digest.removeprefix("sha256:"), blobs


def _trouble(error: ReaperError) -> Exception:
    trouble: Exception = rules.Trouble(str(error))
    return trouble


class Delivery:
    """One host: answers the steps that are no request, and tells how far its pull is."""

    def __init__(
        self, host: Host, order: Order, lookups: Lookups, on_event: OnEvent, push: PushRequest | None = None
    ) -> None:
        self.host, self.params = host.name, order.params(host)
        self.params = push.params(self.params) if push else self.params
        self.reached, self._push = True, push
        self._sent: dict[str, int] = {}
        self.rows: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.problem = ""
        self._lookups, self._on_event = lookups, on_event
        self._looked: set[str] = set()
        self._tally, self._told = rules.Tally("", {}), 0.0
        self._first: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._do: dict[Any, Callable[[Any], Any]] = {
            rules.Look: self._look,
            rules.Room: lambda step: {"bytes": sum(step.sizes.values())},
            rules.Start: self._start,
            rules.Tell: lambda step: self._tell({"status": step.status}),
            rules.Keep: self._keep,
        }

    def talk(self, me: claim.Me) -> Talk:
        push = self._push
        work = pushing.deliver(self.params, self.rows, push) if push else rules.bring(self.params, self.rows)
        steps = claim.alone(work, self.params["url"], me, self.notes)
        return Talk(self.host, self.params["url"], steps, lambda step: self._do[type(step)](step), self._line, self.end)

    def _look(self, step: Any) -> Found:
        afresh = step.name in self._looked
        self._looked.add(step.name)
        return self._lookups.get(_base_url(step.name, self.params), step.name, afresh=afresh)

    def _start(self, step: Any) -> None:
        """A second start of a model is the pull after its blobs were sent."""
        if self._push and self._tally.model:
            self._sent[self._tally.model] = self._moved()
        self._tally = rules.Tally(step.name, step.sizes)
        self._first, self._last = {}, {}
        self._tell({"status": "starting"})

    def _keep(self, step: Any) -> None:
        """What came over the wire, as far as the server told it; it tells each 60 ms, so not of each layer's end."""
        if not step.row["error"]:
            there = {layer for layer, first in self._first.items() if first == self._tally.sizes.get(layer)}
            self._last.update({layer: size for layer, size in self._tally.sizes.items() if layer not in there})
        step.row["bytes"] = self._moved() + self._sent.get(step.row["name"], 0)

    def _moved(self) -> int:
        return sum(last - self._first.get(layer, 0) for layer, last in self._last.items())

    def _line(self, line: Mapping[str, Any]) -> None:
        layer, completed = line.get("digest"), line.get("completed") or 0
        if layer:
            self._first.setdefault(layer, completed)
            self._last[layer] = max(completed, self._first[layer])
        self._tally.take(line)
        if time.monotonic() - self._told >= EVENT_EVERY:
            self._tell(line)

    def _tell(self, line: Mapping[str, Any]) -> None:
        self._told = time.monotonic()
        self._on_event({"event": "progress", "host": self.host, **self._tally.row(line)})

    def end(self, value: Any, error: Exception | None) -> None:
        self.reached = value is not False
        if isinstance(error, Stopped):
            self.problem = outcome.STOPPED
        elif error is not None:
            self.problem = str(error)
        bad = self.problem or any(row["error"] for row in self.rows)
        kind = "failed" if bad else "changed" if any(row["changed"] for row in self.rows) else "ok"
        self._on_event({"event": kind, "host": self.host, "task": TASK, "result": self.result()})

    def result(self) -> dict[str, Any]:
        failed = [f"{row['name']}: {row['error']}; {row['next_step']}" for row in self.rows if row["error"]]
        return {"models": self.rows, "msg": self.problem or " | ".join(failed)}

    def done(self) -> tuple[Done, ...]:
        for row in self.rows:
            row["notes"] += self.notes
        return outcome.rows(self.host, self.rows, "api")


def pull(
    hosts: Sequence[Host], order: Order, *, record: Path, at_once: int, on_event: OnEvent | None
) -> tuple[tuple[Done, ...], dict[str, str]]:
    """What became of each model, and hosts on which nothing could be done. Ctrl-C is raised when hosts are in order."""
    lookups, tell = Lookups(), on_event or (lambda event: None)
    deliveries = [Delivery(host, order, lookups, tell) for host in hosts]
    sources = [one.params for one in deliveries]
    lookups.before({(_base_url(s, p), s) for p in sources for s in map(_source_in(p), p["models"])})
    return run(deliveries, order.owner, record=record, at_once=at_once)


def run(
    deliveries: Sequence[Delivery], owner: str, *, record: Path, at_once: int
) -> tuple[tuple[Done, ...], dict[str, str]]:
    me = _me(owner)
    try:
        Talks(at_once).run([one.talk(me) for one in deliveries])
    except KeyboardInterrupt:
        raise Interrupted(ModelsOutcome("pull", *_ended(deliveries))) from None
    finally:
        _remember(record, deliveries)
    return _ended(deliveries)


def _ended(deliveries: Sequence[Delivery]) -> tuple[tuple[Done, ...], dict[str, str]]:
    problems = {one.host: one.problem for one in deliveries if one.problem}
    return tuple(done for one in deliveries for done in one.done()), problems


def _remember(record: Path, deliveries: Sequence[Delivery]) -> None:
    """A record that cannot be kept costs `prune` what came; it undoes no pull, and is said with each."""
    try:
        pulled.add(record, {one.host: one.rows for one in deliveries}, time.time())
    except ReaperError as error:
        for one in deliveries:
            one.notes += [str(error)] if any(row["changed"] for row in one.rows) else []


def _source_in(params: Mapping[str, Any]) -> Callable[[str], str]:
    return lambda name: str(params["sources"].get(name, name))


def _me(owner: str) -> claim.Me:
    """A claim of ours whose process has ended on this machine is void at once."""
    mine = f"{claim.slug(owner)[:40]}."

    def gone(tag: str) -> bool:
        pid = tag.removeprefix(mine).partition("-")[0]
        if not tag.startswith(mine) or not pid.isdigit():
            return False
        with suppress(PermissionError):
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                return True
        return False

    return claim.Me(owner, f"{os.getpid()}-{secrets.token_hex(4)}", gone)
