"""The site mirror for people, as JSON, as plain lines, and as metrics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from reaper_ops.core.mirror.status import Status
from reaper_ops.core.mirror.work import Work
from reaper_ops.core.values import counted, human_bytes
from reaper_ops.formats.health.as_prometheus import exposition, label
from reaper_ops.formats.visible import field, one_line

SCHEMA = "reaper-ops/mirror/1"
PREFIX = "reaper_ops_mirror_"
COUNTERS = {
    "requests": "Requests of hosts for manifests and blobs.",
    "lan_bytes": "Bytes sent to hosts.",
    "hits": "Requests whose first piece was in the cache.",
    "errors": "Requests that ended with a status of 500 or more.",
    "wan_requests": "Requests to the upstream.",
    "wan_bytes": "Bytes that came from the upstream.",
    "wan_errors": "Requests to the upstream that failed.",
}
STATES = ("healthy", "not-running", "own-unreachable", "upstream-unreachable", "differs", "disk-low", "unknown")


def as_text(found: Sequence[Status]) -> str:
    return "\n".join(one_line(line) for one in found for line in _lines(one))


def _lines(one: Status) -> Iterator[str]:
    yield f"{one.host}: {one.word}"
    if one.problem:
        yield f"  could not be asked: {one.problem}"
        return
    for finding in one.findings:
        yield f"  {finding.severity}: {finding.problem}; {finding.step}"
    whole = sum(1 for blob in one.blobs.values() if blob["whole"])
    yield f"  cache  {human_bytes(one.cache_bytes)}, {whole} of {len(one.blobs)} blobs whole"
    yield f"  own    {human_bytes(one.own_bytes)}, {', '.join(sorted(one.own)) or 'no models'}"
    came, went = one.counters.get("wan_bytes", 0), one.counters.get("lan_bytes", 0)
    times = f", {one.saved} copies out for each that came in" if one.saved else ""
    yield f"  bytes  {human_bytes(came)} from the internet, {human_bytes(went)} to hosts{times}"
    if one.free is not None:
        yield f"  free   {human_bytes(one.free)}"


def as_json(found: Sequence[Status]) -> str:
    rows = [{"word": one.word, "saved": one.saved, **asdict(one)} for one in found]
    return json.dumps({"schema": SCHEMA, "mirrors": rows}, indent=1)


def as_lines(found: Sequence[Status]) -> str:
    return "\n".join(
        f"{field(one.host)}\t{one.word}\t{one.counters.get('wan_bytes', 0)}\t{one.cache_bytes}" for one in found
    )


def as_prometheus(found: Sequence[Status]) -> str:
    return exposition(lambda: _families(found)).rstrip("\n")


def _families(found: Sequence[Status]) -> Iterable[Metric]:
    state = GaugeMetricFamily(f"{PREFIX}state", "1 for the state the mirror is in.", labels=("host", "state"))
    for one in found:
        for name in STATES:
            state.add_metric((label(one.host), name), float(name == one.word))
    yield state
    for name, text in COUNTERS.items():
        counter = CounterMetricFamily(PREFIX + name, text, labels=("host",))
        for one in found:
            if name in one.counters:
                counter.add_metric((label(one.host),), one.counters[name])
        yield counter
    for name, text, value in GAUGES:
        gauge = GaugeMetricFamily(PREFIX + name, text, labels=("host",))
        for one in found:
            amount = value(one)
            if amount is not None:
                gauge.add_metric((label(one.host),), amount)
        yield gauge


GAUGES: tuple[tuple[str, str, Callable[[Status], int | None]], ...] = (
    ("cache_bytes", "Bytes of blobs in the cache.", lambda one: one.cache_bytes),
    ("own_size_bytes", "Bytes of own models.", lambda one: one.own_bytes),
    ("free_bytes", "Free bytes on the disk of the mirror.", lambda one: one.free),
    ("connections", "Open connections of hosts.", lambda one: one.connections),
)
FORMATS: Mapping[str, Callable[[Sequence[Status]], str]] = {
    "text": as_text,
    "json": as_json,
    "lines": as_lines,
    "prometheus": as_prometheus,
}


def plan_text(work: Work, *, diffs: bool = True) -> str:
    lines: list[str] = []
    for host, actions in work.todo.items():
        lines.append(
            f"{host}: {counted(len(actions), 'change')}" if actions else f"{host}: as configured, nothing to do"
        )
        for action in actions:
            lines.append(f"  {action.id:<22} {action.target}: {action.reason}")
            lines += [f"      {line.expandtabs()}" for line in action.diff.rstrip("\n").split("\n")] if diffs else []
    return "\n".join(map(one_line, lines + _trouble(work)))


def _trouble(work: Work) -> list[str]:
    lines = [f"{host}: changed since it was shown: {text}" for host, texts in work.withheld.items() for text in texts]
    lines += [f"{host}: nothing was done; the same command shows it again" for host in work.withheld]
    return lines + [f"{host}: error: {text}" for host, text in work.problems.items()]


def gc_text(work: Work) -> str:
    verb = "freed" if work.applied else "would free"
    lines: list[str] = []
    for host, result in work.results.items():
        lines.append(f"{host}: {verb} {human_bytes(result['freed'])} of {len(result['removed'])} blobs")
        lines += [f"  {digest[:19]} {why}" for digest, why in result["removed"].items()]
    return "\n".join(map(one_line, lines + _trouble(work)))


def down_text(work: Work) -> str:
    verb = "removed" if work.applied else "would remove"
    lines: list[str] = []
    for host, result in work.results.items():
        lines.append(f"{host}: {verb} {len(result['removed'])} things")
        lines += [f"  {verb} {item}" for item in result["removed"]]
        lines += [f"  kept {item}" for item in result["kept"]]
    return "\n".join(map(one_line, lines + _trouble(work)))


def work_json(work: Work) -> str:
    todo = {host: [vars(action) for action in actions] for host, actions in work.todo.items()}
    row: dict[str, Any] = {
        "schema": SCHEMA,
        "todo": todo,
        "results": dict(work.results),
        "problems": dict(work.problems),
        "withheld": {host: list(texts) for host, texts in work.withheld.items()},
    }
    return json.dumps({**row, "applied": work.applied}, indent=1, default=str)
