"""What became of each model on each host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from reaper_ops.core import typed
from reaper_ops.core.facts.answers import decimal
from reaper_ops.core.models.traffic import Traffic
from reaper_ops.errors import ExitCode


@dataclass(frozen=True)
class Done:
    """One model on one host. bytes: fetched; error is empty when all went well; via: `api` or `host`."""

    host: str
    name: str
    changed: bool = False
    digest: str = ""
    bytes: int = 0
    seconds: float = 0.0
    attempts: int = 0
    error: str = ""
    next_step: str = ""
    notes: tuple[str, ...] = ()
    via: str = "host"


@dataclass(frozen=True)
class ModelsOutcome:
    """verb: what was asked for. problems: hosts on which nothing could be done, in a sentence each.

    traffic: what a pull moved, where that is known.
    """

    verb: str
    done: tuple[Done, ...] = ()
    problems: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()
    traffic: Traffic | None = None

    @property
    def failed(self) -> tuple[Done, ...]:
        return tuple(one for one in self.done if one.error)

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.worst(errors=self.failed or self.problems)


def in_order(found: ModelsOutcome, hosts: Iterable[str]) -> ModelsOutcome:
    """Rows in the order of the hosts."""
    order = {host: place for place, host in enumerate(hosts)}
    return replace(found, done=tuple(sorted(found.done, key=lambda one: order[one.host])))


STOPPED = "stopped; what was downloaded stays for the next run"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a pull; outcome: what had become of it by then."""

    def __init__(self, outcome: ModelsOutcome) -> None:
        super().__init__()
        self.outcome = outcome


def rows(host: str, found: object, via: str = "host") -> tuple[Done, ...]:
    """Rows of our modules on a host; what is none is left out."""
    return tuple(
        Done(
            host,
            typed.words(row.get("name")),
            bool(row.get("changed")),
            typed.digest(row.get("digest")),
            typed.count(row.get("bytes")) or 0,
            decimal(row.get("seconds")) or 0.0,
            typed.count(row.get("attempts")) or 0,
            " ".join(typed.words(row.get("error")).split()),
            typed.words(row.get("next_step")),
            _notes(row.get("notes")),
            via,
        )
        for row in (found if isinstance(found, list) else ())
        if isinstance(row, Mapping)
    )


def _notes(found: object) -> tuple[str, ...]:
    return tuple(typed.words(note) for note in found) if isinstance(found, list | tuple) else ()
