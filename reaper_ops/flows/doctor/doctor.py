"""`doctor`: read every host once, ask every server, judge by all rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reaper_ops.adapters import bundle, sweep
from reaper_ops.adapters.ansible import OnEvent, Source
from reaper_ops.core import facts as core_facts
from reaper_ops.core import isolation, shell, url
from reaper_ops.core.doctor import evidence, timing
from reaper_ops.core.doctor.bundle import SavedHost
from reaper_ops.core.doctor.diagnose import diagnose, examined
from reaper_ops.core.doctor.diagnosis import Diagnosis, FleetDiagnosis
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.facts.model import Exchange, Facts, System
from reaper_ops.core.facts.traces import Timing
from reaper_ops.core.health import probe
from reaper_ops.core.inventory.hosts import Host, Inventory
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.flows.doctor import latency as slow
from reaper_ops.flows.inventory import gather


@dataclass(frozen=True)
class HostSnapshot:
    """One host as it was found. heard: what it answered from outside; answers: what was read on it, facts were
    parsed from them. step: what helps where it could not be entered."""

    host: str
    settings: Settings
    url: str
    heard: tuple[Exchange, ...] = ()
    answers: Mapping[str, Any] | None = None
    facts: Facts | None = None
    problem: str = ""
    step: str = ""
    notes: tuple[str, ...] = ()

    def case(self, source: str) -> HostEvidence | None:
        """What rules are given; None when nothing is known of the host."""
        said = self.heard or (self.facts.exchanges if self.facts else ())
        if not said and self.facts is None:
            return None
        seen = probe.observe(self.host, self.url, said)
        facts = evidence.understood(self.facts, self.answers or {}) if self.facts else None
        return examined(HostEvidence(self.settings, seen, facts, self.settings.models(), source))

    def saved(self) -> SavedHost:
        """For a bundle."""
        return SavedHost(self.host, self.settings, self.url, self.heard, self.answers, self.problem)


def collect(source: Source, on_event: OnEvent | None = None) -> tuple[Inventory, tuple[HostSnapshot, ...]]:
    """All hosts are read at once, by one run of Ansible; servers that can be reached from here are asked from here."""
    inventory, found = gather.survey(source, on_event, evidence=True)
    direct = {host.name: str(url.parse(host.base_url)) for host in inventory.hosts if host.is_direct}
    heard = sweep.sweep(direct, probe.ladder())

    def patient(host: Host) -> HostSnapshot:
        return HostSnapshot(
            host.name,
            host.settings,
            str(url.parse(host.base_url)),
            heard.get(host.name, ()),
            found.answers.get(host.name),
            found.facts.get(host.name),
            found.problem(host.name),
            found.steps.get(host.name, ""),
        )

    return inventory, tuple(map(patient, inventory.hosts))


def measured(
    source: Source,
    inventory: Inventory,
    patients: Sequence[HostSnapshot],
    *,
    load: bool,
    on_event: OnEvent | None = None,
) -> tuple[HostSnapshot, ...]:
    """The same hosts, with the time that answers take."""
    facts = {one.host: one.facts for one in patients if one.facts}
    hosts = [one.host for one in patients if one.facts or one.heard]
    timings = slow.measure(source, inventory, hosts, facts, load=load, on_event=on_event)
    return tuple(_timed(one, timings.get(one.host, ())) for one in patients)


def _timed(one: HostSnapshot, timings: tuple[Timing, ...]) -> HostSnapshot:
    facts = one.facts or Facts(one.host, System())
    return replace(one, facts=timing.joined(facts, timings)) if timings else one


def from_bundle(path: Path) -> tuple[HostSnapshot, ...]:
    """The hosts of an archive or a directory, as they were when it was made."""
    return tuple(_remembered(one) for one in bundle.read(path))


def from_text(text: str) -> tuple[HostSnapshot, ...]:
    """One host, by what somebody pasted."""
    return tuple(_remembered(one) for one in bundle.pasted(text))


def _remembered(one: SavedHost) -> HostSnapshot:
    answers, problems = one.answers, {one.host: one.problem}
    read = [one] if answers is not None else []
    found = isolation.each(
        read, lambda it: core_facts.parse(it.host, it.settings, it.answers or {}), lambda it: it.host, problems
    )
    return HostSnapshot(
        one.host, one.settings, one.url, one.exchanges, answers, found.get(one.host), problems[one.host], "", one.notes
    )


def from_url(text: str) -> tuple[HostSnapshot, ...]:
    """One server by its URL: what can be told from outside."""
    address = url.parse(text)
    heard = sweep.sweep({address.host: str(address)}, probe.ladder())
    settings = Settings.model_validate({"ollama_managed": False, "ollama_port": address.port})
    place = text.strip() if address.assumed_port else str(address)
    return (HostSnapshot(address.host, settings, place, heard[address.host]),)


def examine(patients: Sequence[HostSnapshot], source: str = "") -> FleetDiagnosis:
    """All rules on all hosts. source: the inventory as typed, for commands that people copy."""
    return FleetDiagnosis(tuple(_diagnosis_of(one, source) for one in patients))


def cases(patients: Sequence[HostSnapshot], source: str) -> tuple[HostEvidence, ...]:
    """Of hosts of which something is known; one that cannot be read is told by its diagnosis."""
    found = [isolation.alone(one.host, lambda one=one: one.case(source), lambda said: None) for one in patients]  # type: ignore[misc]
    return tuple(case for case in found if case is not None)


def _diagnosis_of(one: HostSnapshot, source: str) -> Diagnosis:
    return isolation.alone(
        one.host,
        lambda: _examined(one, source),
        lambda said: Diagnosis(one.host, None, url=one.url, problem=said, next_step=isolation.NEXT_STEP),
    )


def _examined(one: HostSnapshot, source: str) -> Diagnosis:
    case = one.case(source)
    if case is None:
        step = one.step or " ".join(
            word for word in ("ansible", source, shell.word_or(one.host, "HOST"), "-m ping") if word
        )
        problem = one.problem or "was not read"
        return Diagnosis(one.host, None, url=one.url, problem=problem, next_step=step, notes=one.notes)
    found = diagnose(case)
    why = f"{one.problem}; {one.step}" if one.step else one.problem
    note = (f"the host itself could not be read: {why}",) if one.problem else ()
    return replace(found, notes=(*found.notes, *note, *one.notes))
