"""What only a diagnosis asks of a host; every subject has questions and parsers in one file."""

from __future__ import annotations

from reaper_ops.core.facts import containers, gpu_load, holdings, network, reported, running, surroundings
from reaper_ops.core.facts.answers import Answers, Ask
from reaper_ops.core.facts.traces import Traces
from reaper_ops.core.inventory.settings import Settings

TRACES = (surroundings, running, network, holdings, containers, gpu_load, reported)
ASKED_AT = "controller"
"""When a diagnosis asked, by the controller's clock: an answer that the controller itself gives."""


def asks(settings: Settings) -> list[Ask]:
    return [ask for subject in TRACES for ask in subject.asks(settings)]


def parse(answers: Answers) -> Traces:
    return Traces(**{name: value for subject in TRACES for name, value in subject.parse(answers).items()})
