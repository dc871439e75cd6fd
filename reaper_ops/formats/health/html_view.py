"""What the web page shows, ready to be written: texts cut and cleaned, amounts as bars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reaper_ops.core.doctor.diagnosis import Cause, Diagnosis
from reaper_ops.core.doctor.finding import Automate, Finding, Severity
from reaper_ops.core.health import measures
from reaper_ops.core.health.measures import Measures
from reaper_ops.core.health.report import Evidence, HostReport
from reaper_ops.core.values import human_bytes
from reaper_ops.formats.health.as_text import kind_of
from reaper_ops.formats.health.html_text import shown

NAME, LINE, ROWS, HOSTS = 200, 500, 12, 20
SIGNS = {"good": "✓", "warning": "!", "error": "✕", "unknown": "?"}
RANK = ("error", "unknown", "warning", "good")
WHO = {Automate.SAFE: "safe to automate", Automate.ASK: "doctor --fix asks first", Automate.NEVER: "yours to do"}


@dataclass(frozen=True)
class UsageBar:
    label: str
    text: str
    percent: float


@dataclass(frozen=True)
class HistoryLine:
    source: str
    text: str


@dataclass(frozen=True)
class Do:
    text: str
    command: str
    who: str


@dataclass(frozen=True)
class Why:
    """A cause with its proof, what follows from it, and the remedy."""

    id: str
    summary: str
    doubt: str
    evidence: tuple[HistoryLine, ...]
    also: tuple[HistoryLine, ...]
    steps: tuple[Do, ...]
    verify: str


@dataclass(frozen=True)
class HostRow:
    """One host. kind: good, warning, error or unknown; place is its number on the page."""

    place: int
    host: str
    state: str
    kind: str
    sign: str
    cause: str
    version: str
    url: str
    models: str
    bars: tuple[UsageBar, ...]
    summary: str = ""
    problem: str = ""
    next_step: str = ""
    evidence: tuple[HistoryLine, ...] = ()
    causes: tuple[Why, ...] = ()
    questions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MemoryRow:
    """A model as some hosts hold it; differs: other hosts hold another under the same name."""

    name: str
    digest: str
    size: str
    hosts: tuple[str, ...]
    count: int
    differs: bool


@dataclass
class _Holders:
    size: int | None = None
    hosts: list[str] = field(default_factory=list)


def rows(hosts: Sequence[HostReport], diagnoses: Mapping[str, Diagnosis]) -> tuple[HostRow, ...]:
    """The sick first, otherwise as they were given."""
    kinds = [_kind(host, diagnoses.get(host.host)) for host in hosts]
    order = sorted(range(len(hosts)), key=lambda at: RANK.index(kinds[at]))
    return tuple(_row(place, hosts[at], kinds[at], diagnoses.get(hosts[at].host)) for place, at in enumerate(order, 1))


def _kind(host: HostReport, found: Diagnosis | None) -> str:
    """A healthy host with findings is not good."""
    kind = kind_of(host)
    if found is None or found.severity is None or kind != "good":
        return kind
    return "error" if found.severity is Severity.ERROR else "warning"


def _row(place: int, host: HostReport, kind: str, found: Diagnosis | None) -> HostRow:
    seen = measures.read(host.facts)
    causes = tuple(map(_why, found.causes)) if found else ()
    return HostRow(
        place,
        shown(host.host, NAME),
        host.word if kind == kind_of(host) else f"{host.word}, with findings",
        kind,
        SIGNS[kind],
        causes[0].id if causes else shown(host.cause or "", NAME),
        shown(host.version or "", NAME),
        shown(host.url, NAME),
        _models(host, seen),
        _bars(seen),
        summary=shown(host.summary, LINE),
        problem=shown(host.problem, LINE),
        next_step=shown(host.next_step, LINE),
        evidence=_lines(host.evidence),
        causes=causes,
        questions=tuple(shown(text, LINE) for text in found.questions[:ROWS]) if found else (),
        notes=tuple(shown(text, LINE) for text in host.notes[:ROWS]),
    )


def _models(host: HostReport, seen: Measures) -> str:
    held = len(seen.models) if seen.models is not None else len(host.models) or None
    if held is None:
        return ""
    loaded = "" if seen.loaded is None else f", {len(seen.loaded)} loaded"
    return f"{held}{loaded}"


def _bars(seen: Measures) -> tuple[UsageBar, ...]:
    found = [_bar("Memory", seen.memory.total - seen.memory.free, seen.memory.total)] if seen.memory else []
    if seen.swap and seen.swap.total:
        found.append(_bar("Swap", seen.swap.total - seen.swap.free, seen.swap.total))
    for place, card in enumerate(seen.gpus[:ROWS]):
        name = "VRAM" if len(seen.gpus) == 1 else f"VRAM {place}"
        found.append(_bar(name, card.used if card.used is not None else seen.vram, card.total))
    if not seen.gpus and seen.vram:
        found.append(UsageBar("VRAM", f"{human_bytes(seen.vram)} held by models", 0.0))
    return tuple(found)


def _bar(label: str, used: int, total: int) -> UsageBar:
    percent = min(100.0, max(0.0, 100 * used / total)) if total > 0 else 0.0
    return UsageBar(label, f"{human_bytes(used)} of {human_bytes(total)}", round(percent, 1))


def _why(cause: Cause) -> Why:
    finding = cause.finding
    return Why(
        shown(finding.id, NAME),
        shown(finding.summary, LINE),
        "" if finding.confidence == "certain" else str(finding.confidence),
        _lines(finding.evidence),
        tuple(_consequence(other) for other in cause.also[:ROWS]),
        tuple(Do(shown(s.text, LINE), shown(s.command, 4 * LINE), WHO[s.automate]) for s in cause.steps[:ROWS]),
        shown(cause.verify, LINE),
    )


def _consequence(finding: Finding) -> HistoryLine:
    return HistoryLine(shown(finding.id, NAME), shown(finding.summary, LINE))


def _lines(evidence: Iterable[Evidence]) -> tuple[HistoryLine, ...]:
    return tuple(HistoryLine(shown(row.source, NAME), shown(row.text, LINE)) for row in list(evidence)[:ROWS])


def held(hosts: Sequence[HostReport]) -> tuple[MemoryRow, ...]:
    """Every model and digest of the fleet, the most common first."""
    found: dict[tuple[str, str], _Holders] = {}
    for host in hosts:
        for model in measures.read(host.facts).models or ():
            holders = found.setdefault((model.name, model.digest), _Holders(model.size))
            holders.hosts.append(host.host)
    digests = Counter(name for name, _ in found)
    ordered = sorted(found.items(), key=lambda item: (-len(item[1].hosts), item[0]))
    return tuple(
        MemoryRow(
            shown(name, NAME),
            shown(digest.removeprefix("sha256:")[:12], NAME),
            human_bytes(holders.size) if holders.size else "",
            tuple(shown(host, NAME) for host in holders.hosts[:HOSTS]),
            len(holders.hosts),
            digests[name] > 1,
        )
        for (name, digest), holders in ordered
    )
