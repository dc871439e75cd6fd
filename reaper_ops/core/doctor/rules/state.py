"""The judge of a probe: from what was observed to one state, with evidence, cause and next step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reaper_ops.core.doctor.rules import content, gpu_chain, http, listening, memory, transport
from reaper_ops.core.doctor.rules.case import HostEvidence, Rule, Verdict, excerpt
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.health import measures
from reaper_ops.core.health.probe import Observation
from reaper_ops.core.health.report import HostReport, State
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.values import counted

LADDER: tuple[Rule, ...] = (
    transport.no_answer,
    memory.answered_out_of_memory,
    listening.another_server,
    http.odd_answer,
    http.unreadable,
    http.silent_step,
    memory.logged_out_of_memory,
    content.does_not_answer,
    content.killed_for_unknown_reason,
    listening.exposed,
    content.model_missing,
    content.cpu_fallback,
    content.broken_chain,
    content.partial_offload,
)


def judge(
    settings: Settings,
    observation: Observation,
    facts: Facts | None = None,
    expected_models: Sequence[str] = (),
    *,
    source: str = "",
) -> HostReport:
    """The first rule of the ladder that speaks gives the state; what later rules add becomes a note."""
    case = examined(HostEvidence(settings, observation, facts, tuple(expected_models), source))
    verdicts = case.verdicts
    first = verdicts[0]
    return HostReport(
        host=observation.host,
        state=first.state,
        summary=first.summary,
        evidence=first.evidence,
        cause=first.cause,
        next_step=first.next_step,
        version=observation.version,
        url=observation.url,
        models=tuple(model.name for model in observation.models or ()),
        notes=(*(f"{v.state}: {v.summary}" for v in verdicts[1:] if v.state != first.state), *notes(case)),
        simulated=simulated(case),
        facts=measures.take(observation, facts),
    )


def examined(case: HostEvidence) -> HostEvidence:
    """The case with the verdicts of the ladder, of which there is always one."""
    verdicts = tuple(found for rule in LADDER if (found := rule(case)) is not None)
    return replace(case, verdicts=verdicts or (_healthy(case),))


def _healthy(case: HostEvidence) -> Verdict:
    if case.seen.version is None:
        return Verdict(State.DEGRADED, "nothing was asked of this host", (), None, case.ours("probe"))
    if case.seen.answer is not None and case.seen.answer.done:
        return Verdict(State.HEALTHY, "answers, and a loaded model gives tokens")
    loaded = len(case.seen.loaded or ())
    return Verdict(State.HEALTHY, f"answers; {counted(loaded, 'model')} loaded")


def notes(case: HostEvidence) -> tuple[str, ...]:
    said: list[str] = []
    settings, version = case.settings, case.seen.version
    if settings.ollama_managed and version and version != settings.ollama_version:
        said.append(f"runs {version}, the inventory wants {settings.ollama_version}")
    link = gpu_chain.first_broken_link(settings, case.facts) if case.facts and settings.gpu_vendor == "auto" else None
    if link is not None and not settings.gpu_require:
        said.append(f"the GPU is not used, its chain is broken at {link.link}: {link.missing}; {link.next_step}")
    if case.seen.odd:
        said.append(f"lists what no model is called, so it is left out: {', '.join(case.seen.odd)}")
    if case.log.recovered is not None:
        said.append(f"an earlier load failed, a later one succeeded: {excerpt(case.log.recovered.line, 100)}")
    return tuple(said)


def simulated(case: HostEvidence) -> tuple[str, ...]:
    """What is not real in a rehearsal, as its version and its stand-ins say."""
    named = (case.seen.version or "") + case.settings.ollama_version
    parts = ["the Ollama server and its models"] if "-lab" in named else []
    if case.settings.lab_facts_root:
        parts.append("hardware, GPU tools and kernel log")
    return tuple(parts)
