"""A report as metrics: for node exporter's textfile collector, and for the server of `watch`.

Every label is bounded: hosts of the inventory, states of the closed set, ids of the catalogue, a GPU's position.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from reaper_ops.core.health import measures
from reaper_ops.core.health.measures import Measures, Room
from reaper_ops.core.health.probe import ListedModel, RunningModel
from reaper_ops.core.health.report import HostReport, Report, State, Tally
from reaper_ops.formats.visible import one_line

PREFIX = "reaper_ops_"
UNKNOWN = "unknown"
STATES = (*(str(state) for state in State), UNKNOWN)
VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]{0,32}")
Rows = list[tuple[HostReport, Measures]]
Number = Callable[[HostReport, Measures], float | None]
GAUGES: tuple[tuple[str, str, Number], ...] = (
    (
        "host_response_seconds",
        "How long GET /api/version took.",
        lambda host, seen: _seconds(seen) if host.version else None,
    ),
    ("host_models", "Models on disk.", lambda host, seen: _count(seen.models)),
    ("host_models_bytes", "Size of the models on disk.", lambda host, seen: _sum(seen.models)),
    ("host_models_loaded", "Models that are loaded.", lambda host, seen: _count(seen.loaded)),
    ("host_loaded_bytes", "Memory of loaded models.", lambda host, seen: _sum(seen.loaded)),
    ("host_loaded_vram_bytes", "Part of it on GPUs.", lambda host, seen: None if seen.loaded is None else seen.vram),
    ("host_memory_size_bytes", "Memory of the host.", lambda host, seen: _total(seen.memory)),
    ("host_memory_available_bytes", "Memory to be had.", lambda host, seen: _free(seen.memory)),
    ("host_swap_size_bytes", "Swap of the host.", lambda host, seen: _total(seen.swap)),
    ("host_swap_free_bytes", "Swap that is free.", lambda host, seen: _free(seen.swap)),
)


def render(report: Report) -> str:
    """The whole file; a report that does not know its time is of now."""
    return exposition(lambda: families(report))


def exposition(produce: Callable[[], Iterable[Metric]]) -> str:
    return generate_latest(registry(produce)).decode()


def registry(produce: Callable[[], Iterable[Metric]]) -> CollectorRegistry:
    """Calls `produce` at each scrape; without the metrics of this process."""

    class Producer(Collector):
        def collect(self) -> Iterable[Metric]:
            return produce()

    found = CollectorRegistry(auto_describe=False)
    found.register(Producer())
    return found


def families(report: Report, tally: Tally | None = None) -> Iterator[Metric]:
    rows: Rows = [(host, measures.read(host.facts)) for host in report.hosts]
    yield _states(report)
    yield _causes(report)
    yield _info(report)
    for name, text, number in GAUGES:
        yield _gauge(name, text, number, rows)
    yield from _gpus(rows)
    yield _kills(rows)
    taken = report.time or time.time()
    yield GaugeMetricFamily(f"{PREFIX}probe_timestamp_seconds", "When the last probe ended.", value=taken)
    if tally is not None:
        yield from _tally(report, tally)


def _states(report: Report) -> Metric:
    text = "1 for the state that the host is in, 0 for every other of the closed set."
    found = GaugeMetricFamily(f"{PREFIX}host_state", text, labels=("host", "state"))
    for host in report.hosts:
        for name in STATES:
            found.add_metric((label(host.host), name), float(name == host.word))
    return found


def _causes(report: Report) -> Metric:
    text = "Always 1; cause is an id of the catalogue (`reaper-ops runbook ID`), empty where none was found."
    found = GaugeMetricFamily(f"{PREFIX}host_cause", text, labels=("host", "cause"))
    for host in report.hosts:
        found.add_metric((label(host.host), _catalogued(host.cause)), 1.0)
    return found


def _catalogued(cause: str | None) -> str:
    return cause if cause is not None and cause in _catalogue() else ""


@cache
def _catalogue() -> frozenset[str]:
    from reaper_ops.core.doctor.rules.catalogue import RULES

    return frozenset(rule.id for rule in RULES)


def _info(report: Report) -> Metric:
    found = InfoMetricFamily(f"{PREFIX}host", "What the host runs; simulated in a rehearsal.", labels=("host",))
    for host in report.hosts:
        version = host.version if host.version and VERSION.fullmatch(host.version) else ""
        values = {"version": version, "simulated": "yes" if host.simulated else "no"}
        found.add_metric((label(host.host),), values)
    return found


def _gauge(name: str, text: str, number: Number, rows: Rows) -> Metric:
    found = GaugeMetricFamily(PREFIX + name, text, labels=("host",))
    for host, seen in rows:
        value = number(host, seen)
        if value is not None:
            found.add_metric((label(host.host),), value)
    return found


def _gpus(rows: Rows) -> Iterator[Metric]:
    size = GaugeMetricFamily(f"{PREFIX}host_gpu_memory_size_bytes", "Memory of a GPU.", labels=("host", "gpu"))
    used = GaugeMetricFamily(f"{PREFIX}host_gpu_memory_used_bytes", "Part in use.", labels=("host", "gpu"))
    for host, seen in rows:
        for place, card in enumerate(seen.gpus):
            size.add_metric((label(host.host), str(place)), card.total)
            if card.used is not None:
                used.add_metric((label(host.host), str(place)), card.used)
    yield size
    yield used


def _kills(rows: Rows) -> Metric:
    text = "Processes that the kernel killed for memory in the server's own cgroup."
    found = CounterMetricFamily(f"{PREFIX}host_oom_kills", text, labels=("host",))
    for host, seen in rows:
        if seen.oom_kills is not None:
            found.add_metric((label(host.host),), seen.oom_kills)
    return found


def _tally(report: Report, tally: Tally) -> Iterator[Metric]:
    yield CounterMetricFamily(f"{PREFIX}probes", "Rounds of this watch.", value=tally.rounds)
    yield CounterMetricFamily(f"{PREFIX}probe_failures", "Rounds that broke.", value=tally.failures)
    yield GaugeMetricFamily(f"{PREFIX}probe_duration_seconds", "How long the last round took.", value=tally.seconds)
    text = "How often the host changed its state since this watch began."
    changed = CounterMetricFamily(f"{PREFIX}host_state_changes", text, labels=("host",))
    for host in report.hosts:
        changed.add_metric((label(host.host),), tally.changes.get(host.host, 0))
    yield changed


def label(text: str) -> str:
    """Text that UTF-8 can hold, and that a terminal may show: the escapes of the format know line ends alone."""
    return one_line(text)


def _seconds(seen: Measures) -> float | None:
    found = seen.latency_ms.get("/api/version")
    return None if found is None else found / 1000


def _total(room: Room | None) -> float | None:
    return None if room is None else float(room.total)


def _free(room: Room | None) -> float | None:
    return None if room is None else float(room.free)


def _count(rows: tuple[object, ...] | None) -> float | None:
    return None if rows is None else float(len(rows))


def _sum(rows: Sequence[ListedModel | RunningModel] | None) -> float | None:
    """0 where there are none; None where nothing was read, or no size is known."""
    known = [row.size for row in rows or () if row.size is not None]
    return float(sum(known)) if known or rows == () else None
