"""What a bundle of evidence looks like inside: one folder per host, plain files for what has a plain form.

`docs/bundles.md` describes the layout for people. Nothing here opens a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote, unquote

from reaper_ops.core import facts, secrets
from reaper_ops.core.doctor import paste as pasted
from reaper_ops.core.doctor.bundle_layout import (
    ASKED,
    CONTENT,
    ENVIRON,
    HOST,
    INSIDE,
    MORE,
    OUTPUT,
    OUTSIDE,
    OWN,
    SETTINGS,
)
from reaper_ops.core.doctor.bundle_layout import FILES as FILES
from reaper_ops.core.doctor.bundle_layout import HEAD as HEAD
from reaper_ops.core.doctor.bundle_layout import folder as folder
from reaper_ops.core.doctor.bundle_layout import grouped as grouped
from reaper_ops.core.doctor.bundle_layout import host_of as host_of
from reaper_ops.core.doctor.bundle_layout import place as place
from reaper_ops.core.doctor.bundle_layout import printable as printable
from reaper_ops.core.facts import exchanges
from reaper_ops.core.facts.exchange import Exchange
from reaper_ops.core.inventory.settings import Settings, parse_set
from reaper_ops.errors import ReaperError

SCHEMA = 1
BY_ID = {id_: (name, key) for name, (id_, key) in FILES.items()}
UNKNOWN: Mapping[str, Any] = {"ollama_managed": False, "ollama_runtime": "systemd"}
"""Settings of a host of which nobody said what is desired."""
USUAL: Mapping[str, Mapping[str, Any]] = {
    OUTPUT: {"rc": 0, "timed_out": False, "stderr": "", "truncated": False, "found": True, "tool": "docker"},
    CONTENT: {"exists": True, "kind": "file"},
}
DROPPED: Mapping[str, frozenset[str]] = {
    OUTPUT: frozenset({"truncated"}),
    CONTENT: frozenset({"kind", "path", "mode", "uid", "gid", "size", "mtime", "sha256", "truncated", "link"}),
}
"""Parts of an answer that no parser reads where the answer has a plain file."""


@dataclass(frozen=True)
class SavedHost:
    """One host as it was found. exchanges: what it answered from outside; answers: what was read on it, if anything.

    url: where it was asked. problem: why it could not be read, or not wholly. notes: of pasted text, what it was
    recognized as, and what of it nobody could read.
    """

    host: str
    settings: Settings
    url: str = ""
    exchanges: tuple[Exchange, ...] = ()
    answers: Mapping[str, Any] | None = None
    problem: str = ""
    notes: tuple[str, ...] = ()


def files(saved: SavedHost) -> dict[str, str]:
    """A host's folder: its files by their path in it."""
    plain = without_secrets(saved.settings.model_dump(mode="json", exclude_defaults=True))
    plain["ollama_version"] = saved.settings.ollama_version
    about = {
        "host": saved.host,
        "url": secrets.redact(saved.url),
        "problem": secrets.redact(saved.problem),
        "read": saved.answers is not None,
    }
    found = {HOST: _json(about), SETTINGS: _json(plain)}
    if saved.exchanges:
        found[OUTSIDE] = _json({"exchanges": [without_secrets(asdict(exchange)) for exchange in saved.exchanges]})
    for id_, answer in (saved.answers or {}).items():
        found |= _file(id_, answer)
    return found


def without_secrets(value: Any, name: str = "") -> Any:
    """Settings without passwords in URLs and without variables that are named like secrets."""
    if isinstance(value, dict):
        return {key: without_secrets(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    if not isinstance(value, str):
        return value
    return "***" if name and secrets.is_named(name) else secrets.redact(value)


def _file(id_: str, answer: Mapping[str, Any]) -> dict[str, str]:
    if id_ == "api":
        return {INSIDE: _json(answer)}
    if id_.startswith("asked "):
        return {f"{ASKED}{_name(id_.removeprefix('asked '))}.json": _json(answer)}
    more = f"{MORE}{_name(id_)}.json"
    if id_ == "process" and _lines(answer.get("environ")) is not None:
        rest = {key: value for key, value in answer.items() if key != "environ"}
        return {ENVIRON: _lines(answer["environ"]) or "", more: _json(rest)}
    name, key = BY_ID.get(id_, ("", OUTPUT))
    if id_ == "log" and "content" in answer:
        key = CONTENT
    text = _whole(id_, answer, key) if name else None
    rest = {k: v for k, v in answer.items() if k != key and k not in DROPPED[key] and USUAL[key].get(k, ...) != v}
    if text is None or (not text and (rest or key != BY_ID[id_][1])):
        return {more: _json(answer)}
    if rest.get("rc", 0) == 0:
        rest.pop("stderr", None)
    return {name: text, **({more: _json(rest)} if rest else {})}


def _whole(id_: str, answer: Mapping[str, Any], key: str) -> str | None:
    """The text of a plain file; None where the answer has none, or one that a file cannot hold."""
    text = answer.get(key)
    if id_ == "log" and key == OUTPUT and isinstance(text, str) and answer.get("rc") == 0:
        text += str(answer.get("stderr") or "")
    return text if isinstance(text, str) and _is_plain(text) else None


def _is_plain(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _lines(environ: object) -> str | None:
    if not isinstance(environ, Mapping):
        return None
    rows = [f"{name}={value}" for name, value in environ.items()]
    return None if any("\n" in row or not _is_plain(row) for row in rows) else "".join(f"{row}\n" for row in rows)


def _name(id_: str) -> str:
    return quote(id_, safe="")


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=True) + "\n"


def head(text: str, where: str) -> Mapping[str, Any]:
    """bundle.json, of a version that can be read here."""
    found = _object(text)
    if found is None or not isinstance(found.get("schema"), int):
        raise ReaperError(where, "is not the head of a bundle", "save it again with `reaper-ops doctor --bundle FILE`")
    if found["schema"] != SCHEMA:
        made = f" of reaper-ops {found['version']}" if isinstance(found.get("version"), str) else ""
        raise ReaperError(
            where,
            f"is a bundle of schema {found['schema']}{made}; this one reads schema {SCHEMA}",
            "read it with the reaper-ops that wrote it",
        )
    return found


def headed(version: str, time: str, hosts: Iterable[str]) -> str:
    return _json({"schema": SCHEMA, "version": version, "time": time, "hosts": list(hosts)})


def read(name: str, given: Mapping[str, str], refused: Mapping[str, str] | None = None, *, by_hand: bool) -> SavedHost:
    """A host from the files of its folder; refused: files of it that cannot be read, with the reason.

    by_hand: put together by a person, from what somebody pasted; then files of any name are read by their content.
    """
    if by_hand:
        return _pasted(name, given, refused or {})
    texts = dict(given)
    about = _object(texts.get(HOST, "{}")) or {}
    settings = _settings(name, texts, UNKNOWN)
    found = {**_answers(texts), **_refused(refused or {})}
    answers = {**_absent(settings, found), **found} if about.get("read") is not False else None
    url, problem = (printable(str(about.get(key) or "")) for key in ("url", "problem"))
    default = settings.ollama_base_url or f"http://{name}:{settings.ollama_port}"
    return SavedHost(name, settings, url or default, _outside(texts), answers, problem)


def _pasted(name: str, given: Mapping[str, str], refused: Mapping[str, str]) -> SavedHost:
    """What is not there was not read; what nobody can read is said in a note."""
    raw = {part: text for part, text in given.items() if _is_raw(part, text)}
    loose = {part: (text, OWN.get(part, "")) for part, text in given.items() if part not in raw}
    reading = pasted.read(loose)
    texts = {part: pasted.cleaned(text) for part, text in raw.items()}
    settings = _settings(name, texts, {**UNKNOWN, "ollama_runtime": reading.runtime})
    found = {"controller": {}, **_answers(texts)}
    found |= {id_: {**answer, **found.get(id_, {})} for id_, answer in reading.answers.items()} | _refused(refused)
    about = _object(texts.get(HOST, "{}")) or {}
    url, problem = (printable(str(about.get(key) or "")) for key in ("url", "problem"))
    url = url or settings.ollama_base_url or f"http://{name}:{settings.ollama_port}"
    answers, outside = {**_absent(settings, found), **found}, (*_outside(texts), *reading.outside)
    return SavedHost(name, settings, url, outside, answers, problem, reading.notes)


def _is_raw(part: str, text: str) -> bool:
    """Whether a file is in the form that the program itself writes, and so is not looked through."""
    if part in {HOST, SETTINGS, INSIDE, OUTSIDE} or part.startswith((MORE, ASKED)):
        return True
    return part.startswith("http/") and not pasted.is_session(text)


def _absent(settings: Settings, answers: Mapping[str, Any]) -> dict[str, Any]:
    """What a diagnosis asks and the folder does not hold was not read; that proves nothing."""
    return {ask["id"]: {"error": "not there"} for ask in facts.asks(settings, traces=True) if ask["id"] not in answers}


def _refused(parts: Mapping[str, str]) -> dict[str, Any]:
    """Answers that say why they are none."""
    return {FILES[part][0] if part in FILES else part: {"error": f"{part} {why}"} for part, why in parts.items()}


def _settings(name: str, texts: Mapping[str, str], unknown: Mapping[str, Any]) -> Settings:
    where = f"{name}/{SETTINGS}"
    found = _object(texts[SETTINGS]) if SETTINGS in texts else dict(unknown)
    if found is None:
        raise ReaperError(where, "is not a JSON object", "write settings as the inventory names them, or leave it out")
    settings, errors = parse_set(found)
    if settings is None:
        raise ReaperError(where, "; ".join(map(str, errors)), "write settings as the inventory names them")
    return settings


def _answers(texts: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    texts = {part: text if part.endswith(".json") else pasted.cut(text) for part, text in texts.items()}
    for part, text in texts.items():
        if part.startswith(MORE):
            found[unquote(part[len(MORE) : -5])] = _answer(part, text)
        elif part == INSIDE or part.startswith(ASKED):
            id_ = "api" if part == INSIDE else f"asked {unquote(part[len(ASKED) : -5])}"
            found[id_] = _answer(part, text)
    for part, (id_, key) in FILES.items():
        if part in texts:
            found[id_] = {**USUAL[key], **found.get(id_, {}), key: texts[part]}
    if ENVIRON in texts:
        rows = (line.partition("=") for line in texts[ENVIRON].split("\n"))
        environ = {name: value for name, mark, value in rows if mark}
        found["process"] = {"found": True, "pid": 0, **found.get("process", {}), "environ": environ}
    return found


def _answer(part: str, text: str) -> Mapping[str, Any]:
    found = _object(text)
    return {"error": f"{part} is not a JSON object"} if found is None else found


def _outside(texts: Mapping[str, str]) -> tuple[Exchange, ...]:
    rows = _object(texts[OUTSIDE]) if OUTSIDE in texts else None
    found = exchanges.rows((rows or {}).get("exchanges"))
    loose = {part: text for part, text in sorted(texts.items()) if part.startswith("http/")}
    for part, text in loose.items():
        if part not in {OUTSIDE, INSIDE} and not part.startswith(ASKED):
            found += pasted.exchanges_of(part[len("http/") : -5], text)
    return found


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
