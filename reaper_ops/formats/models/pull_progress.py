"""A pull as it goes: per host and model a bar with bytes, rate, time left and stage, and one for all of them."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from reaper_ops.core.models import names, traffic
from reaper_ops.core.models.traffic import Network
from reaper_ops.core.secrets import redact
from reaper_ops.core.values import human_bytes
from reaper_ops.formats import progress, visible
from reaper_ops.formats.progress import Event, Progress

STAGES = (
    ("starting", "starting"),
    ("waiting", "waiting to try again"),
    ("verifying", "verifying"),
    ("writing", "naming"),
    ("naming", "naming"),
    ("removing", "naming"),
    ("success", "naming"),
    ("done", "done"),
)
TASK = "Pull the models"
WAITS, OVER = "waiting", "ended"
"""Not begun (one that waits to be tried again has begun); ended, and how is told with the end of its host."""
SUM_EVERY = 0.25
TASKS = frozenset({TASK, "Verify the models", "Put the models into the store"})


@dataclass
class ModelBar:
    """One model on one host."""

    stage: str = "starting"
    completed: int = 0
    total: int = 0
    first: int | None = None
    network: Network = "wan"

    @property
    def ended(self) -> bool:
        return self.stage in {"done", OVER} or self.stage.startswith("failed")

    @property
    def moved(self) -> int:
        """Bytes that came since it was first heard of."""
        return self.completed - (self.first or 0)


@dataclass
class Bars:
    """What the events have told, by host and model."""

    rows: dict[tuple[str, str], ModelBar] = field(default_factory=dict)

    def take(self, event: Event) -> tuple[tuple[str, str], ...]:
        """The rows that changed."""
        host = event.get("host", "")
        if event["event"] == "wanted":
            new = {(host, model): size for host, models in event["hosts"].items() for model, size in models.items()}
            self.rows.update({key: ModelBar(WAITS, total=size) for key, size in new.items()})
            return tuple(new)
        if event["event"] == "progress" and event.get("model"):
            return self._moved(host, event)
        told = event.get("result", {}).get("models") if event.get("task") in TASKS else None
        return tuple(self._ended(host, row) for row in told or () if row.get("name"))

    def _moved(self, host: str, event: Event) -> tuple[tuple[str, str], ...]:
        """With the models of the host that it has gone past before anybody told how they ended."""
        key = (host, str(event["model"]))
        past = self._past(key)
        for other in past:
            bar = self.rows[other]
            bar.stage, bar.completed = OVER, bar.total
        bar = self.rows.setdefault(key, ModelBar())
        bar.stage = stage(str(event.get("status") or ""))
        bar.total = int(event.get("model_total") or event.get("total") or bar.total)
        bar.completed = int((event.get("model_completed") if event.get("model_total") else event.get("completed")) or 0)
        bar.first = bar.completed if bar.first is None and bar.stage == "fetching" else bar.first
        bar.network = event.get("network") or "wan"
        return (*past, key)

    def _past(self, key: tuple[str, str]) -> list[tuple[str, str]]:
        """One model at a time, in the order of the settings."""
        its = [other for other in self.rows if other[0] == key[0]]
        before = its.index(key) if key in its else len(its)
        open_ = [(place, other) for place, other in enumerate(its) if other != key and not self.rows[other].ended]
        return [other for place, other in open_ if place < before or self.rows[other].stage != WAITS]

    def _ended(self, host: str, row: Event) -> tuple[str, str]:
        key = (host, str(row["name"]))
        bar = self.rows.setdefault(key, ModelBar())
        error = " ".join(str(row.get("error") or "").split())
        bar.stage = f"failed: {redact(error)[:60]}" if error else "done"
        bar.completed = bar.completed if error else bar.total
        return key

    def traffic(self) -> str:
        """Bytes by network; what a mirror fetched itself is at most one copy of each model."""
        rows = {key: bar for key, bar in self.rows.items() if bar.network != "seed" and bar.first is not None}
        moved = [(host, model, bar.moved) for (host, model), bar in rows.items()]
        lan: dict[str, set[str]] = {}
        for (host, model), bar in self.rows.items():
            lan.setdefault(host, set()).update({model} if bar.network == "lan" else ())
        found = traffic.of(moved, lan)
        wan = f"WAN {'≤ ' if found.once else ''}{human_bytes(found.wan + found.once)}"
        return f"{wan}, LAN {human_bytes(found.lan)}" if found.lan else wan

    @property
    def completed(self) -> int:
        return sum(bar.completed for bar in self.rows.values())

    @property
    def total(self) -> int:
        return sum(bar.total for bar in self.rows.values())


def stage(status: str) -> str:
    """The server's status in one word of ours; a failure with its reason."""
    if status.startswith("failed"):
        return " ".join(redact(status).split())[:68]
    return next((ours for start, ours in STAGES if status.startswith(start)), "fetching" if status else "starting")


def choose(output: str) -> Progress:
    return PullLive() if output == "text" and sys.stderr.isatty() else progress.choose(output)


class PullLive:
    def __init__(self) -> None:
        from reaper_ops.formats.models.pull_view import PullView

        self._bars, self._view = Bars(), PullView()
        self._all = self._view.add_task("all", total=None, stage="")
        self._tasks: dict[tuple[str, str], Any] = {}
        self._seen: set[tuple[str, str]] = set()
        self._summed, self._asked = 0.0, False
        self._room = max(4, self._view.console.height - 5)

    def __enter__(self) -> Self:
        self._view.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._view.stop()

    def pause(self) -> None:
        self._view.stop()

    def __call__(self, event: Event) -> None:
        if event["event"] == "asking":
            self._ask(event)
            return
        if self._asked:
            self._view.start()
            self._asked = False
        for key in self._bars.take(event):
            self._show(key)
        if event["event"] != "progress" or time.monotonic() - self._summed >= SUM_EVERY:
            self._sum()

    def _ask(self, event: Event) -> None:
        """The screen is ssh's until the next event."""
        self._view.stop()
        self._asked = True
        sys.stderr.write(f"{visible.one_line(event['host'])}: {visible.one_line(str(event['text']))}\n")

    def _sum(self) -> None:
        rows, self._summed = self._bars.rows.values(), time.monotonic()
        ended = sum(bar.ended for bar in rows)
        self._view.said = f"{ended} of {len(rows)} done, {self._bars.traffic()}" if rows else "reading hosts"
        self._view.update(self._all, completed=self._bars.completed, total=self._bars.total or None)

    def _show(self, key: tuple[str, str]) -> None:
        """As many bars as the screen has lines for: what has ended makes room for what goes on."""
        bar = self._bars.rows[key]
        if key not in self._tasks:
            name = visible.one_line(f"{key[0]}  {names.short(key[1])}")
            self._tasks[key] = self._view.add_task(name, total=None, stage="", visible=False)
        task = self._tasks[key]
        if bar.ended and len(self._tasks) > self._room:
            self._seen.discard(key)
        elif len(self._seen) < self._room and (bar.stage != WAITS or len(self._bars.rows) <= self._room):
            self._seen.add(key)
        shown, stage_ = key in self._seen, visible.one_line(bar.stage)
        self._view.update(task, completed=bar.completed, total=bar.total or None, stage=stage_, visible=shown)
