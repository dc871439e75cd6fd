"""Settings from the variables of a host; every mistake in them becomes one line that names host and setting."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from pydantic import ValidationError

from reaper_ops.core import values
from reaper_ops.core.inventory.settings.model import names
from reaper_ops.core.inventory.settings.whole import Settings
from reaper_ops.errors import ReaperError

PREFIXES = ("ollama_", "gpu_", "swap_", "docker_", "exposure", "gateway_", "mirror_", "lab_")
UNWRITABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
"""Controls, line separators, signs that turn the direction of text, and what no file may hold."""
OTHERS = "a variable of another role goes into the list reaper_ignore"


def relevant(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of a host that are, or claim to be, settings of ours."""
    ignored = _ignored(variables.get("reaper_ignore"))
    return {
        name: value
        for name, value in variables.items()
        if _claims(name) and not any(fnmatchcase(name, pattern) for pattern in ignored)
    }


def _ignored(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    return tuple(str(part) for part in value or ())


@cache
def _claims(name: str) -> bool:
    """Whether a variable is meant for us: by its prefix, or because it is one slip away from a setting."""
    if name.startswith(PREFIXES):
        return True
    return not name.startswith("ansible_") and bool(difflib.get_close_matches(name.lower(), names(), n=1, cutoff=0.9))


@cache
def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name.lower(), names(), n=1, cutoff=0.75)
    if close:
        return f"did you mean {close[0]}? ({OTHERS})"
    return f"`reaper-ops schema` lists the settings; {OTHERS}"


def parse(host: str, variables: Mapping[str, Any]) -> tuple[Settings | None, tuple[ReaperError, ...]]:
    """Settings of one host from its templated variables, or every error in them with host and setting named."""
    settings, errors = parse_set(relevant(variables))
    return settings, tuple(
        ReaperError(f"{host}/{error.place}" if error.place else host, error.problem, error.hint) for error in errors
    )


def parse_set(variables: Mapping[str, Any]) -> tuple[Settings | None, tuple[ReaperError, ...]]:
    """Settings from relevant variables; the place of an error is the setting alone."""
    known = {name: value for name, value in variables.items() if name in Settings.model_fields}
    errors = [
        ReaperError(name, "unknown setting", _suggestion(name))
        for name in variables
        if name not in Settings.model_fields
    ]
    signs = {name: found for name, value in known.items() for found in _signs(value)}
    errors += [_unwritable(name, found) for name, found in signs.items()]
    known = {name: value for name, value in known.items() if name not in signs}
    try:
        settings = Settings(**known)
    except ValidationError as error:
        # What goes together is not judged where a setting is left out.
        items = [item for item in error.errors() if not signs or item["type"] != "combination"]
        return None, (*errors, *(one for item in items for one in _translate(item)))
    return (None if errors else settings), tuple(errors)


def _unwritable(name: str, sign: str) -> ReaperError:
    problem = f"holds a line break or another control character (U+{ord(sign):04X})"
    return ReaperError(name, problem, "write it in one line, without such signs")


def _signs(value: Any) -> list[str]:
    """The first sign in it that no file of ours may hold, or none; JSON text may hold it escaped."""
    if isinstance(value, str):
        inner = values.decoded(value) if "\\" in value else None
        return UNWRITABLE.findall(value)[:1] or _signs(inner)
    if isinstance(value, Mapping):
        return [sign for pair in value.items() for part in pair for sign in _signs(part)][:1]
    return [sign for part in value for sign in _signs(part)][:1] if isinstance(value, list | tuple) else []


def _choices(item: Any) -> str:
    expected = item["ctx"]["expected"].replace("'", "")
    if item["input"] is None:
        return f"is empty; write {expected}"
    close = difflib.get_close_matches(str(item["input"]).lower(), re.split(r", | or ", expected), n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{item['input']!r} is not one of {expected}{hint}"


WORDS: dict[str, Callable[[Any], str]] = {
    "bool_parsing": lambda item: f"{item['input']!r} is neither true nor false",
    "bool_type": lambda item: f"is {_type_of(item['input'])}, neither true nor false",
    "int_parsing": lambda item: f"{item['input']!r} is not a whole number",
    "int_type": lambda item: f"is {_type_of(item['input'])}, not a whole number",
    "int_from_float": lambda item: f"{item['input']!r} is not a whole number",
    "string_type": lambda item: f"is {_type_of(item['input'])}, not text; put it in quotes",
    "tuple_type": lambda item: f"is {_type_of(item['input'])}, not a list; write [one, two]",
    "dict_type": lambda item: f"is {_type_of(item['input'])}, not a map; write name: value",
    "greater_than_equal": lambda item: f"{item['input']} is too small; the least is {item['ctx']['ge']}",
    "less_than_equal": lambda item: f"{item['input']} is too large; the most is {item['ctx']['le']}",
    "literal_error": _choices,
    "string_pattern_mismatch": lambda item: f"{item['input']!r} does not match {item['ctx']['pattern']}",
}
BRANCH = re.compile(r"^(?:function-|dict\[|str$|int$|bool$|tuple\[)")


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    return "a map" if isinstance(value, Mapping) else "a list" if isinstance(value, list | tuple) else repr(value)


def _translate(item: Any) -> list[ReaperError]:
    if item["type"] == "combination":
        return [ReaperError(setting, problem) for setting, problem in item["ctx"]["found"]]
    place = "/".join(str(part) for part in item["loc"] if not BRANCH.match(str(part)))
    words = WORDS.get(item["type"])
    return [ReaperError(place, words(item) if words else item["msg"].removeprefix("Value error, "))]
