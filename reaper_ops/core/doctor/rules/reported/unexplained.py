"""Errors that no rule explains: never passed over in silence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from reaper_ops.core.doctor.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.reported.standing import proven_well
from reaper_ops.core.doctor.rules.reported.statements import statements
from reaper_ops.core.doctor.rules.reported.texts import SERVER, lines, loaded_last
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence

SHOWN = 4
_ERROR = re.compile(
    r"level=(?:ERROR|FATAL)|(?:^|[\s|>])(?:Error|ERROR|error|panic|fatal error|FATAL|Fatal):? |[Ff]ailed to "
    r"|GGML_ASSERT"
    r"|process has terminated|SIG(?:SEGV|ABRT|BUS|ILL)|[Ss]egmentation fault|Traceback|status=[1-9]\d{0,2}/"
    r"|[Ee]xception\b|[Tt]imed out|time-?out\b|[Pp]ermission denied|[Nn]o such file"
)
_REQUEST = re.compile(
    r"\[GIN\] .{10,60}\| (?P<status>\d{3}) \|.{4,80}\"(?P<path>/(?:api/(?:generate|chat|embed(?:dings)?|pull|create)"
    r"|v1/(?:chat/completions|completions|embeddings|responses|messages)))\""
)
_VARIABLE = re.compile(r"0x[0-9a-fA-F]{1,16}|[0-9a-f]{8,64}|\d{1,20}|\"[^\"]{0,200}\"")
_LOUD = re.compile(r"error=|Error:|panic|terminated|failed", re.I)
STATEMENT = re.compile(r"(?:error=|msg=|Error: |panic: )(?P<text>[^\n]{4,400})")


def unexplained_errors(case: HostEvidence) -> Finding | None:
    """The evidence holds errors that no rule explains.

    These lines are errors in the words of their program, or requests that failed. Nothing that was read says why.
    They are counted by their shape, and quoted.

    Signals:
    - lines with `level=ERROR`, `Error:`, `panic`, a client's exception
    - requests to generate, chat or embed that end with status 5xx

    Not to be confused with:
    - every other rule: it names a cause.

    Sources:
    - the lines themselves
    """
    failed = _failed_requests(case)
    if proven_well(case):
        return _of(failed, case) if failed else None
    found = [*_errors(case), *failed]
    return _of(found, case) if found else None


def _errors(case: HostEvidence) -> list[tuple[str, str]]:
    explained = {row.line for row in statements(case)}
    return [(source, line) for source, line in lines(case) if _ERROR.search(line) and line not in explained]


def _failed_requests(case: HostEvidence) -> list[tuple[str, str]]:
    """Of each path, unless a later request of it was answered."""
    last: dict[str, tuple[bool, str]] = {}
    for source, line in lines(case):
        found = _REQUEST.search(line) if source == SERVER else None
        if found:
            last[found["path"]] = (found["status"][0] == "5" and found["status"] != "503", line)
    if loaded_last(case):
        return []
    return [(SERVER, line) for bad, line in last.values() if bad]


def _of(found: list[tuple[str, str]], case: HostEvidence) -> Finding:
    shapes = Counter(_shape(line) for _, line in found)
    first: dict[str, tuple[str, str]] = {}
    for source, line in found:
        first.setdefault(_shape(line), (source, line))
    ordered = sorted(first.items(), key=lambda item: (_LOUD.search(item[1][1]) is None, -shapes[item[0]]))
    shown = tuple(
        Evidence(source, f"{excerpt(line)}{f' ({shapes[shape]} times)' if shapes[shape] > 1 else ''}")
        for shape, (source, line) in ordered[:SHOWN]
    )
    kinds = "1 kind" if len(shapes) == 1 else f"{len(shapes)} kinds"
    told = _quoted(ordered[0][1][1])
    summary = f"errors that no rule explains ({len(found)} of {kinds}): {told}"
    return Finding(summary, shown, Confidence.POSSIBLE, steps=_wanted(case))


def _quoted(line: str) -> str:
    """The part of a line that says what went wrong."""
    parts = [found["text"].strip('" ') for found in STATEMENT.finditer(line)]
    return excerpt(parts[-1] if parts else line, 160)


def _shape(line: str) -> str:
    return _VARIABLE.sub("#", line)[:200]


def _wanted(case: HostEvidence) -> tuple[Step, ...]:
    """What would decide, and is not there yet."""
    return tuple(_steps(case)) or (_LOG,)


def _steps(case: HostEvidence) -> Iterator[Step]:
    facts = case.facts
    journal = (facts.journal if facts else None) or ""
    if "server config" not in journal and "Listening on" not in journal:
        yield _LOG
    if facts is None or facts.kernel is None:
        yield _KERNEL
    if re.search(r"(?i)gpu|cuda|rocm|vulkan|vram", journal) and not (facts and (facts.gpu.nvidia or facts.gpu.amd)):
        yield _CARDS
    if re.search(r"(?i)connect|refused|timed? ?out|proxy", journal) and case.traces.listeners is None:
        yield _LISTENERS


_LOG = Step("Add the server's log from its start to the error.", "{log}")
_KERNEL = Step("Add the kernel's log of that time.", "sudo dmesg -T | tail -n 100")
_CARDS = Step("Add what the GPU's own tool shows.", "nvidia-smi || rocm-smi || vulkaninfo --summary")
_LISTENERS = Step("Add which program listens where.", "sudo ss -ltnp")

RULES = (
    Rule(
        unexplained_errors,
        Severity.ERROR,
        steps=(_LOG, _KERNEL),
        needs=("journal.log",),
    ),
)
