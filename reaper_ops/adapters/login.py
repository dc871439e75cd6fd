"""Events of hosts that could not be entered, put into words: ssh, sudo, Python and Ansible's own directory."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from reaper_ops.adapters import process
from reaper_ops.core.inventory import access
from reaper_ops.errors import CommandError

Event = Mapping[str, Any]
TROUBLED = {"failed", "unreachable"}


def in_words(event: Event) -> Event:
    """The event with `msg` as one sentence and the next step, where its host could not be entered."""
    if event.get("event") not in TROUBLED:
        return event
    login, told = access.Login(**(event.get("login") or {})), event.get("result") or {}
    if access.is_denied(told):
        login = replace(login, locked=locked(login))
    trouble = access.of_result(told, login)
    if trouble is None:
        return event
    result = {"msg": str(trouble), "next_step": trouble.step, "entered": False}
    asks = {"asks": {"kind": trouble.asks, "words": trouble.words}} if trouble.asks else {}
    return {**event, **asks, "result": {**event["result"], "module_stderr": "", **result}}


def locked(login: access.Login) -> str:
    """The first key of those that ssh tries which has a passphrase that no agent knows; empty where there is none."""
    keys = (login.key,) if login.key else identities(login.words("-G"))
    return next((key for key in keys if has_passphrase(key) and not is_loaded(key)), "")


@cache
def identities(words: tuple[str, ...]) -> tuple[str, ...]:
    """Private keys that ssh would try of itself, by its configuration; none where there is no ssh."""
    try:
        lines = process.run(words).stdout.splitlines()
    except CommandError:
        return ()
    return tuple(line.partition(" ")[2] for line in lines if line.startswith("identityfile "))


def is_loaded(path: str) -> bool:
    """Whether an agent offers the key already: then its passphrase is not what is missing."""
    try:
        shown = process.run(["ssh-keygen", "-l", "-f", str(Path(path).expanduser())]).stdout.split()
        return len(shown) > 1 and shown[1] in process.run(["ssh-add", "-l"]).stdout.split()
    except CommandError:
        return False


def has_passphrase(path: str) -> bool:
    """Whether a private key file is encrypted; a file that cannot be read is not known to be."""
    try:
        text = Path(path).expanduser().read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    body = re.search(r"-----BEGIN OPENSSH PRIVATE KEY-----\s([\w+/=\s]+)-----END", text)
    if body is None:
        return "ENCRYPTED" in text
    try:
        data = base64.b64decode(body[1])
    except ValueError:
        return False
    start = len(b"openssh-key-v1\0")
    size = int.from_bytes(data[start : start + 4], "big")
    return data[start + 4 : start + 4 + size] != b"none"
