"""What ssh asks on the terminal: a host key that is not known yet, and the passphrase of a key.

Ansible gives ssh twelve seconds and no terminal. So the ssh of this machine asks by itself, before the run is repeated
for these hosts alone.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from reaper_ops.adapters import process
from reaper_ops.core.inventory.access import HOST_KEY, PASSPHRASE
from reaper_ops.core.values import counted
from reaper_ops.errors import CommandError

Event = Mapping[str, Any]
CONFIRM = ("-n", "-o", "PreferredAuthentications=none", "-o", "ControlMaster=no", "-o", "ControlPath=none")
"""The host key is noted before ssh proves who we are, which is not needed here."""
REFUSED = "Host key verification failed"
KEPT = "12h"
HOLD = ("sh", "-c", 'echo "$SSH_AUTH_SOCK"; exec cat')
"""ssh-agent ends with this program, which ends when the other end of its pipe is gone."""
_asking = threading.Lock()


def answered(events: Sequence[Event], on_event: Callable[[Event], None] | None) -> list[str]:
    """Hosts whose question was asked and answered on the terminal for the first time; they can be entered again."""
    wanted: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for event in events:
        asks = event.get("asks") if event.get("event") == "unreachable" else None
        if asks:
            wanted.setdefault((asks["kind"], tuple(asks["words"])), []).append(str(event["host"]))
    if not wanted or not _somebody():
        return []
    with _asking:
        return [host for (kind, words), hosts in wanted.items() for host in _ask(kind, words, tuple(hosts), on_event)]


def _ask(
    kind: str, words: tuple[str, ...], hosts: tuple[str, ...], on_event: Callable[[Event], None] | None
) -> tuple[str, ...]:
    fresh = tuple(host for host in hosts if _first(kind, host))
    if not fresh:
        return ()
    text = TEXTS[kind].format(words[-1]) + (f" (also for {counted(len(fresh) - 1, 'more host')})" if fresh[1:] else "")
    (on_event or _print_event)({"event": "asking", "host": fresh[0], "text": text})
    return fresh if ASK[kind](words) else ()


def _print_event(event: Event) -> None:
    """For verbs that show no progress: ssh itself names an address or a file, which says little about the host."""
    sys.stderr.write(f"{event['host']}: {event['text']}\n")


_seen: set[tuple[str, str]] = set()


def _first(kind: str, host: str) -> bool:
    is_first = (kind, host) not in _seen
    _seen.add((kind, host))
    return is_first


def _somebody() -> bool:
    """Whether a person sees what we write, and this program is the one that the terminal listens to."""
    if sys.stderr is None or not sys.stderr.isatty():
        return False
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _confirm(words: tuple[str, ...]) -> bool:
    """Runs the ssh that a person would type; it shows the fingerprint and notes the key after a yes."""
    done = process.on_terminal([words[0], *CONFIRM, *words[1:], "true"])
    return done.rc == 0 or REFUSED not in done.stderr


def _unlock(words: tuple[str, ...]) -> bool:
    return _agent() and process.on_terminal([*words[:-1], "-t", KEPT, words[-1]], reads=True).rc == 0


@cache
def _agent() -> bool:
    """Whether an agent runs that can keep a key: the user's own, or else one that ends with this program."""
    if "SSH_AUTH_SOCK" in os.environ and process.run(["ssh-add", "-l"]).rc in (0, 1):
        return True
    try:
        os.environ["SSH_AUTH_SOCK"] = process.companion(["ssh-agent", *HOLD])
    except CommandError:
        return False
    return True


ASK: Mapping[str, Callable[[tuple[str, ...]], bool]] = {HOST_KEY: _confirm, PASSPHRASE: _unlock}
TEXTS = {
    HOST_KEY: "its SSH host key is not known on this machine; ssh shows the fingerprint: compare it on its console",
    PASSPHRASE: f"its key {{0}} has a passphrase; after it ssh-agent keeps the key for {KEPT} at most",
}
