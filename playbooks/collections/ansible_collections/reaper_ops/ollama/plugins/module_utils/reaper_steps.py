# SPDX-License-Identifier: Apache-2.0
"""What the rules of a pull yield and are sent, how the lines of a pull are judged, and what helps against its errors.

Standard library only, and nothing of it that touches a file, a socket or a clock.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, Generator, Mapping, NamedTuple, TypeVar, Union

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_answers
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import brief

MOST_STATUSES = 256
MOST_ROUNDS = 8
"""After a broken connection, a server downloads a part again and counts its bytes again."""


class Trouble(Exception):
    """Place, problem and next step in one sentence."""


class Ask(NamedTuple):
    """A request to the host's server; its result is an Answer, or Trouble if there was no complete answer."""

    method: str
    path: str
    body: object = None


class Answer(NamedTuple):
    status: int
    text: str


class Pull(NamedTuple):
    """One attempt; its result is the error, empty on success."""

    name: str
    params: Mapping[str, Any]
    sizes: Mapping[str, int] | None = None


class Look(NamedTuple):
    """The name's (digest, sizes) at its registry; LookupError if it has none, Trouble if it does not answer."""

    name: str


class Known(NamedTuple):
    """Other digests under which a registry has what the store has under this one; empty where no store is read."""

    digest: str


class Room(NamedTuple):
    """Whether there is space for these blobs; its result is changes of the row."""

    name: str
    sizes: Mapping[str, int]


class Start(NamedTuple):
    name: str
    sizes: Mapping[str, int]


class Tell(NamedTuple):
    status: str


class Wait(NamedTuple):
    seconds: float


class Now(NamedTuple):
    """Its result is a monotonic time in seconds."""


class Keep(NamedTuple):
    """How the pull of a model ended, for the record."""

    row: Row


Result = TypeVar("Result")
Row = Dict[str, Any]
Step = Union[Ask, Pull, Look, Known, Room, Start, Tell, Wait, Now, Keep]
Steps = Generator[Any, Any, Result]

CAUSES = (
    (r"file does not exist|invalid model name", False, "check the name of the model and its tag"),
    (r"no space left on device", False, "free space in the model store, or set ollama_models_dir"),
    (r"permission denied|read-only file", False, "give the server's user write access to the model store"),
    (r"\b412\b|newer version", False, "raise ollama_version: the model needs a newer server"),
    (r"unauthorized|\b40[13]\b|realm host", False, "the registry requires credentials that the server does not have"),
    (r"x509|tls:", False, "add the registry's certificate authority to the host's trust store"),
    (r'Get "https://.*EOF', False, "list a registry without TLS in ollama_insecure_registries"),
    (r"digest mismatch", True, "the registry or a proxy sends damaged data; check both, then run again"),
    (r"\b429\b|too many", True, "the registry limits the rate; run again later"),
    (
        r"^(unexpected )?EOF$",
        False,
        "a kill truncated the progress file of a download: `models pull --via host` removes it",
    ),
    (
        r"max retries exceeded: (unexpected )?EOF|context deadline exceeded",
        True,
        "the registry, its CDN or a proxy sends no complete answer: find out which; run again, downloaded data is kept",
    ),
    (r"lookup|dial tcp|proxyconnect|timeout", True, "check DNS, the network and ollama_https_proxy on the host"),
    (r"stopped answering|cannot be reached", True, "find out why the server stopped: its log, and `reaper-ops probe`"),
)
OTHERWISE = (True, "run again: downloaded data is kept")
NAME, ROOM, SERVER = CAUSES[0][2], CAUSES[1][2], CAUSES[-1][2]


def advice(error: str) -> tuple[bool, str]:
    """Whether another attempt can help, and the next step for a person."""
    for pattern, again, step in CAUSES:
        if re.search(pattern, error, re.IGNORECASE):
            return again, step
    return OTHERWISE


def split_name(name):
    """(host, namespace, model, tag) with Ollama's defaults."""
    path, _, tag = name.rpartition(":") if ":" in name.rsplit("/", 1)[-1] else (name, "", "latest")
    parts = path.split("/")
    parts = ["registry.ollama.ai", "library"][: 3 - len(parts)] + parts
    return parts[0], parts[1], "/".join(parts[2:]), tag


def same_name(one, other):
    return [part.lower() for part in split_name(one)] == [part.lower() for part in split_name(other)]


def digest_of(name: str, models: Mapping[str, str]) -> str | None:
    return next((digest for other, digest in models.items() if same_name(name, other)), None)


class Stream:
    """Evaluates the lines of one pull: an error line is an error, and only `success` is success."""

    def __init__(self, params: Mapping[str, Any], now: float, sizes: Mapping[str, int] | None = None) -> None:
        self.params, self.sizes = params, sizes or {}
        self.mark, self.since = None, now
        self.error, self.success = "", False
        self.layers, self.moved, self.statuses = {}, 0, set()

    @property
    def over(self) -> bool:
        return bool(self.error or self.success)

    def patience(self) -> float:
        """Seconds to wait for the next line: hashing sends none, downloading does."""
        status = self.mark[0] if self.mark else ""
        downloads = not status or status.startswith("pulling")
        return self.params["stall_timeout"] if downloads else self.params["verify_timeout"]

    def line(self, text: str, now: float) -> Row:
        """The line as an object, for progress. A line that no server sends is an error."""
        try:
            line = reaper_answers.progress(text)
        except ValueError as error:
            line = {"error": "the server sends %s" % error}
        moves = self._moves(line)
        self.error = line.get("error", "") or self._impossible()
        self.success = line.get("status") == "success"
        self.mark = (line.get("status", ""), line.get("completed"))
        if moves:
            self.since = now
        elif not self.over and now - self.since > self.patience():
            self.error = self.stalled()
        return line

    def _moves(self, line):
        """New bytes are progress, and so is a new status; repeated bytes and statuses are not."""
        layer, status, completed = line.get("digest"), line.get("status", ""), line.get("completed")
        if completed is None:
            new = status not in self.statuses and len(self.statuses) < MOST_STATUSES
            self.statuses |= {status} if new else set()
            return new
        total, before = self.layers.get(layer, (0, -1))
        self.layers[layer] = (max(total, line.get("total", 0)), completed)
        self.moved += max(0, completed - max(before, 0))
        return completed > before

    def _impossible(self):
        """Refuses what no pull reports; otherwise such a server would hold its slot forever."""
        if len(self.layers) > reaper_answers.MOST_LAYERS:
            return "the server reports more layers than a model has"
        sizes = self.sizes.values()
        if sizes and max([total for total, _ in self.layers.values()], default=0) > max(sizes):
            return "the server reports a larger layer than the lock"
        again = sizes and self.moved > MOST_ROUNDS * sum(sizes)
        return "the server reports %d bytes, the lock has %d" % (self.moved, sum(sizes)) if again else ""

    def stalled(self) -> str:
        return "stalled: no new bytes for %d s (%s)" % (self.patience(), self.mark[0] if self.mark else "no answer")


def pull_body(name: str, params: Mapping[str, Any]) -> Row:
    insecure = split_name(name)[0] in params["insecure_registries"]
    return {"model": name, "insecure": insecure, "stream": True}


def gone(url: str, error: object) -> str:
    return "%s: the server stopped answering: %s" % (url, error)


ENDED = "the answer ended without success: the server stopped answering or was restarted"


def said(answer: Answer) -> str:
    text = reaper_answers.complaint(reaper_answers.document(answer.text)) or answer.text
    return "the server answers %d: %s" % (answer.status, brief(text, 300))


def walk(steps: Generator[Any, Any, Result], do: Callable[[Any], Any]) -> Result:
    """Walks a rule to its end, performing each step with `do`; returns the rule's result."""
    try:
        step = next(steps)
        while True:
            try:
                came = do(step)
            except (Trouble, LookupError) as error:
                step = steps.throw(error)
            else:
                step = steps.send(came)
    except StopIteration as end:
        return end.value
