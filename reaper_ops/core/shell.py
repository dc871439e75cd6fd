"""Commands that people copy: templates of ours, in which every value from outside is one inert word.

`{place}` in a template is filled by a value that is quoted for where it stands; a value that is not what its place is
for (a relative path, a control character, a leading dash) gives no command at all.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Callable, Iterator, Mapping

LONGEST = 4096
UNTYPED = "by hand (a name in it cannot be typed safely)"
_PLACE = re.compile(r"\{([a-z_]{1,40})\}")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,255}\$?\Z")
_NUMBER = re.compile(r"[0-9]{1,12}\Z")
_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.\\@-]{0,255}\.(?:service|socket)\Z")
_BLOB = re.compile(r"\Asha256[:-][0-9a-f]{1,64}\Z")
_VOLUME = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,254}\Z")
_OWNER = re.compile(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?\Z")
_VARIABLE = re.compile(r"\A[A-Za-z_][A-Za-z0-9_]{0,127}\Z")


class ValueRefused(ValueError):
    """The value is not what stands at this place of a command."""


class Ready(str):
    """A command, or part of one, that was put together here: it stands in a template as it is."""

    __slots__ = ()


def word(value: str) -> str:
    """An argument: never an option, and nothing in it that a terminal or a shell would obey."""
    if not value or len(value) > LONGEST or value.startswith("-") or not value.isprintable():
        raise ValueRefused(value)
    return shlex.quote(value)


def path(value: str) -> str:
    """An absolute path without detours."""
    if not value.startswith("/") or posixpath.normpath(value) != value or value.startswith("//"):
        raise ValueRefused(value)
    return word(value)


def number(value: str) -> str:
    if not _NUMBER.match(value):
        raise ValueRefused(value)
    return value


def user(value: str) -> str:
    """A name of an account; a directory's may hold a domain."""
    if not _USER.match(value):
        raise ValueRefused(value)
    return shlex.quote(value)


def unit(value: str) -> str:
    """A service or socket of systemd, systemd.unit(5)."""
    if not _UNIT.match(value):
        raise ValueRefused(value)
    return shlex.quote(value)


def matching(form: re.Pattern[str]) -> Callable[[str], str]:
    """A value of one form, in which a shell, a glob and a path find nothing of their own."""

    def name(value: str) -> str:
        if not form.match(value):
            raise ValueRefused(value)
        return value

    return name


def word_or(value: str, instead: str) -> Ready:
    """For sentences, which say the name of what is meant where it cannot be typed."""
    try:
        return Ready(word(value))
    except ValueRefused:
        return Ready(instead)


KINDS: Mapping[str, Callable[[str], str]] = {
    **dict.fromkeys(("path", "models_dir", "release", "file", "home", "key", "store"), path),
    **dict.fromkeys(("pid", "port", "cores"), number),
    **dict.fromkeys(("user", "account"), user),
    "unit": unit,
    "variable": matching(_VARIABLE),
    "blob": matching(_BLOB),
    **dict.fromkeys(("volume", "container"), matching(_VOLUME)),
    "owner": matching(_OWNER),
}
"""What a place takes; any other takes a word."""


def places(template: str) -> frozenset[str]:
    """Names of the template's places."""
    return frozenset(_PLACE.findall(template))


def command(template: str, values: Mapping[str, str]) -> Ready:
    """The template with its places filled; one without a value stands in capitals, for a person to fill."""
    return Ready("".join(_parts(template, values)))


def _parts(template: str, values: Mapping[str, str]) -> Iterator[str]:
    at, quote = 0, ""
    for place in _PLACE.finditer(template):
        before = template[at : place.start()]
        quote = _quoting(before, quote)
        yield before
        yield _filled(place[1], values.get(place[1]), quote, before)
        at = place.end()
    yield template[at:]


def _filled(name: str, value: str | None, quote: str, before: str) -> str:
    if value is None:
        return name.upper()
    if isinstance(value, Ready) and not quote:
        return value
    if quote == "'" and before.endswith('"') and value.isprintable():
        return json.dumps(value, ensure_ascii=False)[1:-1].replace("'", "'\\''")
    found = KINDS.get(name, word)(value)
    return found if not quote or found == value else f"{quote}{found}{quote}"


def _quoting(text: str, quote: str) -> str:
    """Within which quotes the shell is after the text."""
    for letter in text.replace("\\'", "").replace('\\"', ""):
        if letter == quote:
            quote = ""
        elif not quote and letter in "'\"":
            quote = letter
    return quote


def typed(template: str, **values: str) -> str:
    """A command within a sentence, between backticks; where a value cannot be typed, the sentence gives none."""
    try:
        found = command(template, values)
    except ValueRefused:
        return UNTYPED
    return UNTYPED if "`" in found else f"`{found}`"


OURS = ("/var/lib/ollama", "/var/lib/private/ollama", "/usr/share/ollama", "/home/ollama")
_OF_SYSTEM = frozenset("bin boot dev etc lib lib32 lib64 libx32 proc root run sbin sys usr var".split())  # noqa: SIM905
_SHARED = frozenset({"/home", "/media", "/mnt", "/opt", "/snap", "/srv", "/tmp"})  # noqa: S108 - compared, not written


def of_others(path: str) -> bool:
    """Whether a directory is the system's, a person's home, or holds those: a log line may name it, nobody gets it."""
    if below(path, OURS):
        return False
    top = path.removeprefix("/").partition("/")[0]
    return path in _SHARED or top in {"", *_OF_SYSTEM} or (top == "home" and path.count("/") < 3)


def below(place: str, directories: tuple[str, ...]) -> bool:
    """Whether a path is one of the directories or lies in it; one with detours lies in none."""
    plain = posixpath.normpath(place) == place
    tops = [one for one in directories if one.startswith("/")]
    return plain and any(place == one or place.startswith(one.rstrip("/") + "/") for one in tops)
