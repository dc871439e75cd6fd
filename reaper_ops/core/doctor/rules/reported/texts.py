"""The texts of a host's evidence, and which of their lines count for the present.

Only the last start of the server describes the present; lines of other writers (systemd, Docker, clients, the kernel)
that stand among them count as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from reaper_ops.core.doctor.rules.case import HostEvidence, once

SERVER, KERNEL, CLIENT = "server log", "kernel log", "client"
_START = re.compile(r'msg="server config"|Listening on \S{1,256}:\d{1,5} \(version ')
_LISTENS = "Listening on "
_OF_SERVER = re.compile(r"level=[A-Z]{4,6} |\[GIN\]|load_tensors: |llama_|ggml_|print_info: |srv  |slot ")
_SUCCEEDED = re.compile(r"(?:llama-server|llama runner) started in [\d.]{1,12} seconds")
LOAD = re.compile(r"Load failed|error loading (?:llama server|model)|timed out waiting for (?:llama|server)")

_DIED = re.compile(r"llama runner terminated|process no longer running|^CUDA error|\]: CUDA error|GGML_ASSERT")
"""A runner's end after its load."""


@dataclass(frozen=True)
class Text:
    """source: as evidence names it."""

    source: str
    lines: tuple[str, ...]


@once
def texts(case: HostEvidence) -> tuple[Text, ...]:
    """What was written, by source, as far as it describes the present."""
    facts = case.facts
    if facts is None:
        return ()
    found = [Text(SERVER, tuple(_present(facts.journal or "")))] if facts.journal else []
    kernel = [Text(KERNEL, tuple(facts.kernel.splitlines()))] if facts.kernel else []
    clients = tuple(line for error in case.traces.client_errors for line in error.text.splitlines())
    return (*found, *kernel, *([Text(CLIENT, clients)] if clients else []))


def lines(case: HostEvidence) -> Iterator[tuple[str, str]]:
    """(source, line)."""
    for text in texts(case):
        yield from ((text.source, line) for line in text.lines)


def _present(journal: str) -> Iterator[str]:
    """Without the lines of the server that stand before its last start."""
    rows = journal.splitlines()
    starts = [at for at, row in enumerate(rows) if _START.search(row)]
    begin = starts[-1] if starts else 0
    if len(starts) > 1 and _LISTENS in rows[begin] and _LISTENS not in rows[starts[-2]]:
        begin = starts[-2]
    for at, row in enumerate(rows):
        if at >= begin or not _OF_SERVER.search(row):
            yield row


@once
def loaded_last(case: HostEvidence) -> bool:
    """Whether the last thing that is known of loads is that one succeeded."""
    good = bad = -1
    for text in texts(case):
        for at, line in enumerate(text.lines):
            if _SUCCEEDED.search(line):
                good = at
            elif LOAD.search(line) or _DIED.search(line):
                bad = at
    return good > bad
