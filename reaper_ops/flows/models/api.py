"""`models pull` by the hosts' own API: no SSH, no Ansible; each host's steps are walked in a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reaper_ops.adapters import fan_out, pull_lock, pulled, sweep
from reaper_ops.adapters.ansible import OnEvent
from reaper_ops.adapters.fan_out import Halt
from reaper_ops.adapters.pull_session import Session, Stopped
from reaper_ops.adapters.registry import Registry, RegistryError
from reaper_ops.core import isolation
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.models import lock, names, outcome, request
from reaper_ops.core.models import pull_steps as rules
from reaper_ops.core.models import push as pushing
from reaper_ops.core.models import transport as ways
from reaper_ops.core.models.order import Order
from reaper_ops.core.models.outcome import Done, Interrupted, ModelsOutcome
from reaper_ops.core.models.pull_bytes import PullBytes
from reaper_ops.core.models.pull_steps import (
    Ask,
    Keep,
    Known,
    Look,
    Now,
    Pull,
    Room,
    Start,
    Step,
    Steps,
    Tell,
    Trouble,
    Wait,
)
from reaper_ops.core.models.push import PushRequest, Upload
from reaper_ops.core.models.transport import TransportChoice, Way
from reaper_ops.errors import ReaperError
from reaper_ops.formats.models.pull_progress import TASK

EVENT_EVERY = 0.25
LOOKUPS_AT_ONCE = 8
Found = tuple[str, dict[str, int]]


def chosen(hosts: Sequence[Host], via: Way | None) -> dict[str, TransportChoice]:
    """By which way each host is reached; those that may be asked from here are asked once."""
    asked = ways.candidates(hosts, via) if via is None else ()
    heard = sweep.sweep({host.name: request.url_of(host) for host in asked}, ways.first)
    return {host.name: _choice(host, heard, via) for host in hosts}


def _choice(host: Host, heard: Mapping[str, tuple[Exchange, ...]], via: Way | None) -> TransportChoice:
    return isolation.alone(host.name, lambda: ways.choose(host, heard, via), lambda said: TransportChoice("host", said))


@dataclass
class Lookups:
    """Manifests as registries and mirrors have them now; each name is asked once for all hosts."""

    found: dict[tuple[str, str], Found | Exception] = field(default_factory=dict)

    def before(self, asked: set[tuple[str, str]]) -> None:
        answers = fan_out.each(asked, lambda one: _manifest(*one), at_once=LOOKUPS_AT_ONCE)
        self.found.update(zip(asked, answers, strict=True))

    def get(self, base_url: str, name: str, *, afresh: bool) -> Found:
        key = (base_url, name)
        if afresh or key not in self.found:
            self.found[key] = _manifest(*key)
        known = self.found[key]
        if isinstance(known, Exception):
            raise known
        return known


def _manifest(base_url: str, name: str) -> Found | Exception:
    try:
        with Registry(base_url) as registry:
            got = registry.manifest(names.split(name))
        blobs = lock.from_manifest(name, got.data, got.digest, got.url, "").blobs
    except RegistryError as error:
        return LookupError(str(error)) if error.status == 404 else Trouble(str(error))
    except ReaperError as error:
        return Trouble(str(error))
    return got.digest.removeprefix("sha256:"), blobs


class HostPull:
    """One host: does the steps of its pull one after the other, and tells how far it is."""

    def __init__(
        self, host: Host, order: Order, lookups: Lookups, on_event: OnEvent, push: PushRequest | None = None
    ) -> None:
        self.host, self.owner = host.name, order.owner
        self.params = push.params(order.params(host)) if push else order.params(host)
        self.rows: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.problem, self.reached, self.ended = "", True, False
        self._push, self._lookups, self._on_event = push, lookups, on_event
        self._looked: set[str] = set()
        self._bytes, self._told = PullBytes(), 0.0

    def run(self, halt: Halt) -> None:
        """A defect in the steps of a host ends them; the others go on."""

        def give_up(said: str) -> None:
            self.problem = said

        isolation.alone(self.host, lambda: self._run(halt), give_up)
        self._end()

    def _run(self, halt: Halt) -> None:
        session = Session(self.host, self.params["url"], halt, self._line)
        try:
            with pull_lock.held(self.params["url"], self.owner):
                self.reached = rules.walk(self._steps(), lambda step: self._do(session, step)) is not False
        except Stopped:
            self.problem = outcome.STOPPED
        except Trouble as trouble:
            self.problem = str(trouble)
        finally:
            session.close()

    def _steps(self) -> Steps[bool | None]:
        if self._push:
            return pushing.deliver(self.params, self.rows, self._push)
        steps: Steps[None] = rules.bring(self.params, self.rows)
        return steps

    def _do(self, session: Session, step: Step | Upload) -> object:
        match step:
            case Ask():
                return session.ask(step)
            case Pull():
                return session.pull(step)
            case Upload():
                return session.upload(step)
            case Look():
                return self._look(step)
            case Known():
                return frozenset()
            case Room():
                return {"bytes": sum(step.sizes.values())}
            case Now():
                return time.monotonic()
            case Wait():
                session.wait(step.seconds)
            case Start() | Tell() | Keep():
                self._note(step)
        return None

    def _note(self, step: Start | Tell | Keep) -> None:
        match step:
            case Start():
                self._bytes.start(step.name, step.sizes)
                self._tell({"status": "starting"})
            case Tell():
                self._tell({"status": step.status})
            case Keep():
                step.row["bytes"] = self._bytes.moved(step.row["name"], whole=not step.row["error"])

    def _look(self, step: Look) -> Found:
        afresh = step.name in self._looked
        self._looked.add(step.name)
        return self._lookups.get(request.registry_url(step.name, self.params), step.name, afresh=afresh)

    def _line(self, line: Mapping[str, Any]) -> None:
        self._bytes.take(line)
        if time.monotonic() - self._told >= EVENT_EVERY:
            self._tell(line)

    def _tell(self, line: Mapping[str, Any]) -> None:
        self._told = time.monotonic()
        self._on_event({"event": "progress", "host": self.host, **self._bytes.row(line)})

    def _end(self) -> None:
        self.ended = True
        bad = self.problem or any(row["error"] for row in self.rows)
        kind = "failed" if bad else "changed" if any(row["changed"] for row in self.rows) else "ok"
        self._on_event({"event": kind, "host": self.host, "task": TASK, "result": self.result()})

    def stop(self) -> None:
        """For a host that has not begun, or does not end."""
        if not self.ended:
            self.problem = outcome.STOPPED
            self._end()

    def result(self) -> dict[str, Any]:
        failed = [f"{row['name']}: {row['error']}; {row['next_step']}" for row in self.rows if row["error"]]
        return {"models": self.rows, "msg": self.problem or " | ".join(failed)}

    def done(self) -> tuple[Done, ...]:
        for row in self.rows:
            row["notes"] += self.notes
        return outcome.rows(self.host, self.rows, "api")


def watched(on_event: OnEvent | None) -> OnEvent:
    """Hosts tell from threads of their own; whoever watches is told by one at a time."""
    return fan_out.one_at_a_time(on_event or (lambda event: None))


def pull(
    hosts: Sequence[Host], order: Order, *, record: Path, on_event: OnEvent | None
) -> tuple[tuple[Done, ...], dict[str, str]]:
    """What became of each model, and hosts on which nothing could be done. Ctrl-C is raised when hosts are in order."""
    lookups, tell = Lookups(), watched(on_event)
    pulls = [HostPull(host, order, lookups, tell) for host in hosts]
    lookups.before({one for each in pulls for one in request.lookups(each.params)})
    return run(pulls, record=record, at_once=order.at_once)


def run(pulls: Sequence[HostPull], *, record: Path, at_once: int) -> tuple[tuple[Done, ...], dict[str, str]]:
    halt = Halt()
    try:
        fan_out.each(pulls, lambda one: one.run(halt), at_once=at_once, halt=halt)
    except KeyboardInterrupt:
        for one in pulls:
            one.stop()
        raise Interrupted(ModelsOutcome("pull", *_ended(pulls))) from None
    finally:
        _remember(record, pulls)
    return _ended(pulls)


def _ended(pulls: Sequence[HostPull]) -> tuple[tuple[Done, ...], dict[str, str]]:
    problems = {one.host: one.problem for one in pulls if one.problem}
    return tuple(done for one in pulls for done in one.done()), problems


def _remember(record: Path, pulls: Sequence[HostPull]) -> None:
    """A record that cannot be kept costs `prune` what came; it undoes no pull, and is said with each."""
    try:
        pulled.add(record, {one.host: one.rows for one in pulls}, time.time())
    except ReaperError as error:
        for one in pulls:
            one.notes += [str(error)] if any(row["changed"] for row in one.rows) else []
