"""One line of what was pasted: what a tool put in front of it says whose it is and when it was written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reaper_ops.core.doctor.paste.plain import LONGEST, document

SYSLOG = re.compile(
    r"(?P<when>(?:[^\W\d_]{3,6}\.?|[0-9]{1,2}[月월]) [ 0-9]?[0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"|(?:[A-Z][a-z]{2} )?[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2}| [A-Z]{2,5})?"
    r") (?:(?P<host>[\w.-]{1,64}) )?(?P<ident>\(?[\w./@-]{1,64}\)?)(?:\[(?P<pid>[0-9]{1,10})\])?: (?P<message>.*)"
)
BARE = re.compile(
    r"(?:(?P<host>[\w.-]{1,64}) )?(?P<ident>\(?[\w.@-]{0,24}(?:ollama|systemd|podman|docker)[\w.@-]{0,24}\)?)"
    r"\[(?P<pid>[0-9]{1,10})\]: (?P<message>.*)"
)
"""A line of the journal of which the time, and perhaps the host, was cut away."""
COMPOSE = re.compile(r"\A(?P<name>[A-Za-z0-9][\w.-]{0,127}) {1,40}\| ?(?P<rest>.*)")
POD = re.compile(r"\[pod/(?P<name>[\w.-]{1,128})/[\w.-]{1,64}\] (?P<rest>.*)")
STAMP = re.compile(
    r"(?P<when>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{1,9}(?:Z|[+-][0-9]{2}:[0-9]{2}))"
    r" (?:(?:stdout|stderr) [FP] )?(?P<rest>.*)"
)
SHORTEST = 8
"""Characters of a line that can have anything in front of it."""
LEVELS = frozenset({"INFO", "WARN", "WARNING", "ERROR", "DEBUG", "TRACE", "NAME", "Name"})


@dataclass(frozen=True)
class PastedLine:
    """number: its place in the part, from 1. text: as the program wrote it, with the journal's own head.

    message: without that head. ident: the program by the journal; owner: the container by Compose, Kubernetes.
    whole: the line before it was cut.
    """

    number: int
    text: str
    message: str
    ident: str = ""
    owner: str = ""
    when: str = ""
    whole: str = ""


def parse(number: int, raw: str) -> PastedLine:
    if len(raw) < SHORTEST:
        return PastedLine(number, raw, raw, whole=raw)
    short = raw[:LONGEST]
    if short.startswith("{"):
        text = _from_json(raw)
        if text is not None:
            raw, short = text, text[:LONGEST]
    owner = ""
    for form in (POD, COMPOSE):
        found = form.fullmatch(short)
        if found and found["name"] not in LEVELS:
            owner, short = found["name"], found["rest"]
            break
    head = SYSLOG.fullmatch(short)
    if head and (head["host"] or head["pid"]):
        return PastedLine(number, short, head["message"], head["ident"], owner, head["when"], raw)
    bare = BARE.fullmatch(short)
    if bare:
        return PastedLine(number, short, bare["message"], bare["ident"], owner, "", raw)
    stamp = STAMP.fullmatch(short)
    if stamp:
        return PastedLine(number, stamp["rest"], stamp["rest"], "", owner, stamp["when"], raw)
    return PastedLine(number, short, short, "", owner, "", raw if len(raw) > len(short) or not owner else short)


def _from_json(raw: str) -> str | None:
    """A row of `journalctl -o json`, or of a container engine's own log file, as the text that it stands for."""
    if '"MESSAGE"' not in raw and '"log"' not in raw:
        return None
    row = document(raw)
    if not isinstance(row, dict):
        return None
    if isinstance(row.get("log"), str) and "stream" in row:
        return f"{row.get('time', '')} {row['log'].rstrip()}".strip()
    message = row.get("MESSAGE")
    if not isinstance(message, str):
        return None
    at = str(row.get("__REALTIME_TIMESTAMP") or "")
    when = _iso(int(at)) if re.fullmatch(r"[0-9]{13,17}", at) else "1970-01-01T00:00:00+0000"
    names = [str(row.get(name) or "") for name in ("_HOSTNAME", "SYSLOG_IDENTIFIER", "_COMM", "_PID")]
    pid = f"[{names[3]}]" if names[3].isdigit() else ""
    return f"{when} {names[0] or 'host'} {names[1] or names[2] or 'unknown'}{pid}: {message}".replace("\n", " ")


def _iso(micros: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(micros / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
