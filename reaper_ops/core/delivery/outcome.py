"""What became of each model on each host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reaper_ops.core.delivery.traffic import Traffic

Row = Mapping[str, Any]


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
class Outcome:
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
    def exit_code(self) -> int:
        return 3 if self.failed or self.problems else 0


STOPPED = "stopped; what was downloaded stays for the next run"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a pull; outcome: what had become of it by then."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


def rows(host: str, found: Iterable[Row], via: str = "host") -> tuple[Done, ...]:
    """Rows of our modules on a host."""
    return tuple(
        Done(
            host,
            str(row.get("name", "")),
            bool(row.get("changed")),
            str(row.get("digest") or ""),
            int(row.get("bytes") or 0),
            float(row.get("seconds") or 0),
            int(row.get("attempts") or 0),
            " ".join(str(row.get("error") or "").split()),
            str(row.get("next_step") or ""),
            tuple(str(note) for note in row.get("notes") or ()),
            via,
        )
        for row in found
    )
