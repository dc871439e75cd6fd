"""What happens, as it happens: a live view on a terminal, plain lines in a pipe, JSON lines for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from reaper_ops.core.inventory import complaint
from reaper_ops.core.values import human_bytes
from reaper_ops.formats import visible

Event = Mapping[str, Any]


class Progress(Protocol):
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __call__(self, event: Event) -> None: ...
    def pause(self) -> None: ...


def choose(output: str) -> Progress:
    if output == "json":
        return ProgressJson()
    if sys.stderr.isatty():
        return ProgressLive()
    return ProgressLines()


def _so_far(event: Event) -> tuple[int, int]:
    """Bytes of the whole model where its size is known, else of the layer in work."""
    if event.get("model_total"):
        return int(event.get("model_completed") or 0), int(event["model_total"])
    return int(event.get("completed") or 0), int(event.get("total") or 0)


def _why(event: Event) -> str:
    return visible.one_line(" ".join(complaint.of_result(event.get("result", {})).split()))


class _QuietProgress:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def pause(self) -> None:
        return None


class ProgressJson(_QuietProgress):
    """Events of hosts on standard error, one JSON object a line; the report alone is on standard output."""

    def __call__(self, event: Event) -> None:
        if event["event"] in {"start", "changed", "failed", "unreachable", "progress", "waiting", "asking"}:
            kept = {k: v for k, v in event.items() if k != "result"}
            sys.stderr.write(json.dumps(kept) + "\n")


class ProgressLines(_QuietProgress):
    """A line for each change and each trouble; downloads every ten per cent."""

    def __init__(self) -> None:
        self._tenths: dict[tuple[str, str], int] = {}

    def __call__(self, event: Event) -> None:
        kind = event["event"]
        if kind == "changed":
            self._line(event["host"], f"{event['task']}: changed")
        elif kind in {"failed", "unreachable"}:
            self._line(event["host"], f"{kind}: {_why(event)}")
        elif kind in {"waiting", "asking"}:
            self._line(event["host"], str(event["text"]))
        elif kind == "progress":
            self._progress(event)

    def _progress(self, event: Event) -> None:
        """Of the whole model where its size is known, else of the layer in work."""
        whole = event.get("model_total")
        total, completed = (
            (whole, event.get("model_completed")) if whole else (event.get("total"), event.get("completed"))
        )
        if not total:
            return
        key, tenth = (event["host"], event["model"]), int(10 * (completed or 0) / total)
        if self._tenths.get(key) != tenth:
            self._tenths[key] = tenth
            self._line(event["host"], f"{event['model']} {10 * tenth} % of {human_bytes(total)}")

    def _line(self, host: str, text: str) -> None:
        sys.stderr.write(f"{visible.one_line(host)}: {visible.one_line(text)}\n")


class ProgressLive:
    """One line per host with its current step; pulls show a bar."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        from reaper_ops.formats.screen import Screen

        self._bars = Bars(
            TextColumn("{task.fields[host]:<18}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.description}", markup=False),
            console=Screen(stderr=True),
            transient=True,
        )
        self._rows: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pause()

    def pause(self) -> None:
        """Clears the view, so that a question can be asked; the next event shows it again."""
        self._bars.stop()
        for row in self._rows.values():
            self._bars.remove_task(row)
        self._rows = {}

    def __call__(self, event: Event) -> None:
        host = event.get("host")
        if not host:
            return
        if event["event"] == "asking":
            self.pause()
            sys.stderr.write(f"{visible.one_line(host)}: {visible.one_line(str(event['text']))}\n")
            return
        self._bars.start()
        if host not in self._rows:
            self._rows[host] = self._bars.add_task("", total=None, host=visible.one_line(host))
        row = self._rows[host]
        done, total = _so_far(event)
        if event["event"] == "progress" and total:
            text = f"{visible.one_line(event['model'])} {human_bytes(done)} of {human_bytes(total)}"
            self._bars.update(row, description=text, completed=done, total=total)
        elif event["event"] == "waiting":
            self._bars.update(row, description=visible.one_line(str(event["text"]))[:100])
        elif event["event"] == "start":
            self._bars.update(row, description=visible.one_line(event["task"]), total=None)
        elif event["event"] in {"failed", "unreachable"}:
            self._bars.update(row, description=f"{visible.one_line(event['event'])}: {_why(event)}"[:100])
