"""One pull per host at a time without a file on the host: a listed name that says whose it is and since when.

A stub without bytes (`/api/create` of a remote model) is made under a name of its own, and then the list is read. Who
made its stub first by the host's own clock goes on; the other takes its stub away. So of two that come together one
goes on, whatever their own clocks say. A stub is renewed while its pull runs; one that was not is taken away.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from reaper_ops import assets
from reaper_ops.core import typed
from reaper_ops.core.models import pull_steps as rules

_SHARED = assets.shared("reaper_claims")
FAMILY: str = _SHARED.FAMILY
LEASE: int = _SHARED.LEASE
SECOND: int = _SHARED.SECOND
is_claim: Any = _SHARED.is_claim
nanoseconds: Any = _SHARED.nanoseconds
RENEWAL = 20.0
NOWHERE = "http://127.0.0.1:9"
NOBODY = "127.0.0.1:9/reaper-ops"
_BAD = re.compile(r"[^A-Za-z0-9_-]+")

Steps = Generator[Any, Any, Any]


class Renew(NamedTuple):
    """From now on this request is sent now and then while the pull runs; None ends that."""

    ask: Any


@dataclass(frozen=True)
class Me:
    """Who claims; `gone` tells whether another claim's process is known to have ended."""

    owner: str
    process: str
    gone: Callable[[str], bool] = lambda tag: False

    @property
    def tag(self) -> str:
        return f"{slug(self.owner)[:40]}.{self.process}"

    @property
    def name(self) -> str:
        return f"{FAMILY}:{self.tag}"


@dataclass(frozen=True)
class Claim:
    """ticket and fresh: when it was made and last renewed, in nanoseconds by the host's clock."""

    name: str
    ticket: int
    fresh: int

    @property
    def tag(self) -> str:
        return self.name.rpartition(":")[2]


def slug(owner: str) -> str:
    return _BAD.sub("-", owner).strip("-") or "unknown"


def claims(rows: list[Mapping[str, Any]]) -> list[Claim]:
    found = []
    for row in rows:
        if is_claim(str(row["name"])):
            fresh = nanoseconds(str(row.get("modified_at") or ""))
            ticket = typed.digits(str(row.get("remote_model") or "").rpartition("/")[2].partition("-")[0])
            found.append(Claim(str(row["name"]), fresh if ticket is None else ticket, fresh))
    return found


def stub(me: Me, ticket: int | str) -> Any:
    """Its settings differ from those of every other claim, so that no two share a blob that one of them removes.

    A server that is too old to know `remote_host` asks the registry in the name instead, where nobody answers.
    """
    body = {"model": me.name, "from": f"{NOBODY}/{ticket}-{me.tag}", "remote_host": NOWHERE, "stream": False}
    return rules.Ask("POST", "/api/create", body)


def alone(steps: Steps, url: str, me: Me, notes: list[str]) -> Steps:
    """Walks the steps while the host is ours. Where its server takes no stub, that is noted and the steps go on."""
    held = yield from take(url, me, notes)
    try:
        result = yield from steps
    except GeneratorExit:
        raise
    except BaseException:
        yield from leave(url, me, held)
        raise
    yield from leave(url, me, held)
    return result


def take(url: str, me: Me, notes: list[str]) -> Steps:
    try:
        answer = yield stub(me, "new")
    except rules.Trouble as trouble:
        raise rules.Trouble(f"{url} cannot be reached or is not Ollama: {trouble}") from None
    if answer.status != 200:
        notes.append(f"no lock against another controller: {rules.said(answer)}")
        return False
    found = claims((yield from rules.listing(url)))
    mine = next((one for one in found if one.tag == me.tag), None)
    if mine is None:
        raise rules.Trouble(f"{url}: the lock was taken away while it was made; run again")
    void = [one for one in found if me.gone(one.tag) or mine.fresh - one.fresh > LEASE * SECOND]
    for one in void:
        yield from rules.delete(url, one.name)
    first = min((one for one in found if one not in void), key=lambda one: (one.ticket, one.tag))
    if first is not mine:
        yield from leave(url, me, True)
        raise rules.Trouble(_SHARED.busy(url, first.tag, max(0, (mine.fresh - first.ticket) // SECOND)))
    yield Renew(stub(me, mine.ticket))
    return True


def leave(url: str, me: Me, held: bool) -> Steps:
    """Where the server is gone, its stub becomes void by its age."""
    yield Renew(None)
    if held:
        with contextlib.suppress(rules.Trouble):
            yield rules.Ask("DELETE", "/api/delete", {"model": me.name})
