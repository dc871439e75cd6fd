"""What the lines of the evidence say by themselves, whatever else is known of the host."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Confidence, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, once
from reaper_ops.core.doctor.rules.reported import clients, codes, course, gpu_steps, line_steps
from reaper_ops.core.doctor.rules.reported.statement import Statement
from reaper_ops.core.doctor.rules.reported.texts import CLIENT, KERNEL, lines, texts
from reaper_ops.core.doctor.signatures.model import Hit

REQUEST = signatures.REQUEST
_LEFT = re.compile(r"client connection closed before (?:llama-)?server finished loading")
SCOPES: Mapping[bool, tuple[str, ...]] = {True: ("any", "kernel"), False: ("any", "log", "pull", "api", "kernel")}
"""By whether the text is the kernel's."""
STEPS: Mapping[str, tuple[Step, ...]] = {"discovery-gave-up": gpu_steps.DISCOVERY, **line_steps.BY_SIGNATURE}
UNFIT = frozenset(
    {
        *("resumed", "gpu-arch-unsupported", "gpu-discovery-failed", "models-dir-permission", "models-dir-readonly"),
        *("pull-no-key", "pull-attempt", "cuda-uvm", "runner-killed", "runner-gone-killed", "unit-killed", "unit-oom"),
    }
)
"""Signatures that say too little by themselves, or that a reader of whole courses judges."""


@once
def statements(case: HostEvidence) -> tuple[Statement, ...]:
    """Every statement, in the order of the lines."""
    return tuple(_all(case))


def _all(case: HostEvidence) -> Iterator[Statement]:
    yield from course.read(case)
    left = any(_LEFT.search(line) for _, line in lines(case))
    for text in texts(case):
        for line in text.lines:
            if REQUEST in line:
                continue
            yield from (row for row in _by_signature(text.source, line) if not (left and row.cause == "load-timeout"))
            yield from codes.read(text.source, line)
            yield from clients.read(case, text.source, line) if text.source != CLIENT else ()
    for error in case.traces.client_errors:
        yield from clients.of(case, error)


def _by_signature(source: str, line: str) -> Iterator[Statement]:
    for scope in SCOPES[source == KERNEL]:
        for hit in signatures.all_of(scope, line):
            if hit.signature.causes and hit.signature.id not in UNFIT and not _within(hit):
                yield _statement(source, hit)


def _within(hit: Hit) -> bool:
    """A connection to this host or to another that is no registry: what clients say of it is read elsewhere."""
    address = hit.groups.get("address", "") if hit.signature.id == "pull-connect" else ""
    return bool(address) and not address.endswith((":443", ":80", ":5000")) and "proxy" not in hit.groups


def _statement(source: str, hit: Hit) -> Statement:
    signature = hit.signature
    groups = {name: hit.groups.get(name, "") for name in _names(signature.summary)}
    summary = signature.summary
    for name, value in groups.items():
        summary = summary.replace("{" + name + "}", value)
    sure = (
        Confidence.CERTAIN
        if signature.sure
        else Confidence.LIKELY
        if len(signature.causes) == 1
        else Confidence.POSSIBLE
    )
    return Statement(
        signature.causes[0], summary.removesuffix(": "), hit.line, source, sure, hit.groups, STEPS.get(signature.id)
    )


def _names(summary: str) -> list[str]:
    return [part.partition("}")[0] for part in summary.split("{")[1:]]
