"""The locale that Ansible runs in: it ends at once where that is none of UTF-8."""

from __future__ import annotations

import locale
from collections.abc import Iterator
from contextlib import contextmanager

from reaper_ops.errors import CommandError

CANDIDATES = ("C.UTF-8", "C.utf8", "en_US.UTF-8", "en_GB.UTF-8", "de_DE.UTF-8")


def environment() -> dict[str, str]:
    """Nothing where the user's own locale will do, otherwise one that exists on this machine."""
    with _kept():
        if _is_utf8(""):
            return {}
        found = next(filter(_is_utf8, CANDIDATES), None)
    if found is None:
        problem = "this machine has no locale of UTF-8, and Ansible runs in no other"
        raise CommandError("locale", problem, "make one: `localedef -i C -f UTF-8 C.UTF-8`, as root")
    return {"LC_ALL": found}


def _is_utf8(name: str) -> bool:
    try:
        locale.setlocale(locale.LC_ALL, name)
    except locale.Error:
        return False
    return locale.nl_langinfo(locale.CODESET).upper() in {"UTF-8", "UTF8"}


@contextmanager
def _kept() -> Iterator[None]:
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)
