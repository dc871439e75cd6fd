# SPDX-License-Identifier: Apache-2.0
"""How a host gets its models, without any way to it: the host's own module and the controller walk the same steps.

A rule is a generator. It yields what is to be done (`Ask`, `Pull`, `Look`, …) and is sent what came of it; who walks it
brings the way to the server. Standard library only, and nothing of it that touches a file, a socket or a clock.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any, Callable, Dict, Generator, Iterable, Mapping, NamedTuple, TypeVar, Union

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_answers

LEASE = "reaper-ops/lock:"
MOST_STATUSES = 256
MOST_ROUNDS = 8
"""A server fetches a part again after a broken connection, and counts its bytes again."""


class Trouble(Exception):
    """Place, problem and next step in one sentence."""


class Ask(NamedTuple):
    """A request of the host's server; comes back as an Answer, or as Trouble where there was no whole answer."""

    method: str
    path: str
    body: object = None


class Answer(NamedTuple):
    status: int
    text: str


class Pull(NamedTuple):
    """One attempt; comes back as what went wrong, empty when nothing did."""

    name: str
    params: Mapping[str, Any]
    sizes: Mapping[str, int] | None = None


class Look(NamedTuple):
    """The name's (digest, sizes) at its registry; LookupError where it has none, Trouble where it cannot be asked."""

    name: str


class Room(NamedTuple):
    """Is there room for these blobs? Comes back as changes of the row."""

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
    """Comes back as seconds that only go up."""


class Keep(NamedTuple):
    """How the pull of a model ended, for the record."""

    row: Row


Result = TypeVar("Result")
Row = Dict[str, Any]
Step = Union[Ask, Pull, Look, Room, Start, Tell, Wait, Now, Keep]
Steps = Generator[Any, Any, Result]

CAUSES = (
    (r"file does not exist|invalid model name", False, "check the name of the model and its tag"),
    (r"no space left on device", False, "free space in the model store, or set ollama_models_dir"),
    (r"permission denied|read-only file", False, "let the server's user write to the model store"),
    (r"\b412\b|newer version", False, "raise ollama_version: the model needs a newer server"),
    (r"unauthorized|\b40[13]\b|realm host", False, "the registry wants credentials that the server lacks"),
    (r"x509|tls:", False, "add the registry's certificate authority to the host's trust store"),
    (r'Get "https://.*EOF', False, "a registry without TLS belongs into ollama_insecure_registries"),
    (r"digest mismatch", True, "the registry or a proxy sends damaged data; look at it, then run again"),
    (r"\b429\b|too many", True, "the registry limits us; run again later"),
    (r"^(unexpected )?EOF$", False, "a kill cut off the notes of a download: `models pull --via host` clears them"),
    (
        r"max retries exceeded: (unexpected )?EOF|context deadline exceeded",
        True,
        "the registry, its CDN or a proxy gives no whole answer: see what; run again, what was downloaded is kept",
    ),
    (r"lookup|dial tcp|proxyconnect|timeout", True, "check DNS, the network and ollama_https_proxy on the host"),
    (r"answer no longer|cannot be reached", True, "see why the server ended: its log, and `reaper-ops probe`"),
)
OTHERWISE = (True, "run again: what was downloaded is kept")
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
    """Judges the lines of one pull: an error in them is an error, and only `success` is success."""

    def __init__(self, params: Mapping[str, Any], now: float, sizes: Mapping[str, int] | None = None) -> None:
        self.params, self.sizes = params, sizes or {}
        self.mark, self.since = None, now
        self.error, self.success = "", False
        self.layers, self.moved, self.statuses = {}, 0, set()

    @property
    def over(self) -> bool:
        return bool(self.error or self.success)

    def patience(self) -> float:
        """Seconds to wait for the next line: hashing is silent, downloading is not."""
        status = self.mark[0] if self.mark else ""
        downloads = not status or status.startswith("pulling")
        return self.params["stall_timeout"] if downloads else self.params["verify_timeout"]

    def line(self, text: str, now: float) -> Row:
        """The line as an object, for whoever shows the progress. One that no server sends is an error."""
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
        """Bytes are progress, and so is a new status; the same bytes and words in turn are none."""
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
        """What no pull tells; else a server that tells it holds its slot forever."""
        if len(self.layers) > reaper_answers.MOST_LAYERS:
            return "the server tells of more layers than a model has"
        sizes = self.sizes.values()
        if sizes and max([total for total, _ in self.layers.values()], default=0) > max(sizes):
            return "the server tells of a larger layer than the lock has"
        again = sizes and self.moved > MOST_ROUNDS * sum(sizes)
        return "the server tells of %d bytes, the lock of %d" % (self.moved, sum(sizes)) if again else ""

    def stalled(self) -> str:
        return "stalled: no new byte for %d s (%s)" % (self.patience(), self.mark[0] if self.mark else "no answer")


def pull_body(name: str, params: Mapping[str, Any]) -> Row:
    insecure = split_name(name)[0] in params["insecure_registries"]
    return {"model": name, "insecure": insecure, "stream": True}


def gone(url: str, error: object) -> str:
    return "%s: the server does answer no longer: %s" % (url, error)


ENDED = "the server ended its answer without success; it does answer no longer or was restarted"


def said(answer: Answer) -> str:
    text = reaper_answers.complaint(reaper_answers.document(answer.text)) or answer.text
    return "the server says %d: %s" % (answer.status, text[:300])


def listing(url: str) -> Steps[list[Row]]:
    """Rows of the server's list; what no model can be called is left out."""
    try:
        answer = yield Ask("GET", "/api/tags")
    except Trouble as trouble:
        raise Trouble("%s cannot be reached or is not Ollama: %s" % (url, trouble)) from None
    if answer.status != 200:
        raise Trouble("%s/api/tags says %d: %s" % (url, answer.status, answer.text[:200]))
    found = reaper_answers.rows(answer.text)
    if found is None:
        raise Trouble("%s cannot be reached or is not Ollama: /api/tags has no list of models" % url)
    return found[0]


def listed(url: str) -> Steps[dict[str, str]]:
    """{name: digest} of the server's models."""
    return {row["name"]: row["digest"] for row in (yield from listing(url))}


def send(url: str, method: str, path: str, body: object) -> Steps[str]:
    """The text of a 200; anything else raises Trouble."""
    try:
        answer = yield Ask(method, path, body)
    except Trouble as trouble:
        raise Trouble("%s%s: no whole answer (%s)" % (url, path, trouble)) from None
    if answer.status != 200:
        raise Trouble("%s%s: %s" % (url, path, said(answer)))
    return answer.text


def copy(url: str, source: str, destination: str) -> Steps[None]:
    """Gives a model a further name; the bytes of its manifest, and so its digest, stay."""
    yield from send(url, "POST", "/api/copy", {"source": source, "destination": destination})


def delete(url: str, name: str) -> Steps[None]:
    """Takes a name away; blobs stay as long as another name has them."""
    yield from send(url, "DELETE", "/api/delete", {"model": name})


def drop(url: str, name: str) -> Steps[None]:
    """Takes away a name that only served a pull; another controller may have done so meanwhile."""
    try:
        yield from delete(url, name)
    except Trouble:
        if name in (yield from listed(url)):
            raise


def is_lease(name: str) -> bool:
    """A model without bytes by which earlier versions kept a server for one pull; nothing makes one anymore."""
    return name.lower().startswith(LEASE)


def clear_leases(url: str, have: Iterable[str]) -> Steps[None]:
    """Takes away what such a version left behind when it was killed. One that cannot be removed stops no pull."""
    for name in filter(is_lease, list(have)):
        with contextlib.suppress(Trouble):
            yield from drop(url, name)


def unchanged(name: str, digest: str) -> Row:
    row = {"name": name, "changed": False, "digest": digest, "bytes": 0, "attempts": 0, "seconds": 0}
    return dict(row, error="", next_step="", notes=[])


def ask(name, row):
    """Digest and sizes from the registry, or a note; fails the row for what cannot work."""
    try:
        return (yield Look(name))
    except LookupError as error:
        row.update(error=str(error), next_step=NAME)
    except Trouble as trouble:
        row["notes"].append("not compared with the registry beforehand: %s" % trouble)
    return None, {}


def look_up(name, params, row):
    """What the model shall be: by the lock, else by the registry; None where neither says."""
    source, promised = params["sources"].get(name, name), params["locked"].get(name)
    digest, sizes = yield from ask(source, row)
    if promised and not row["error"]:
        wanted = promised["digest"].rpartition(":")[2]
        if digest and digest != wanted:
            told = (source, wanted[:12], digest[:12])
            row["error"] = "%s is not what was locked: the lock has %s, there is %s" % told
            row["next_step"] = "the tag has moved: `reaper-ops models update` lets the lock follow"
        digest, sizes = wanted, promised["blobs"]
    if not row["error"]:
        found = yield Room(name, sizes)
        row["notes"] += found.pop("notes", [])
        row.update(found)
    return digest, sizes


def attempt_all(name, params, row, sizes):
    """Pulls until it works, the error is of the lasting kind, or the attempts are used up."""
    while True:
        row["attempts"] += 1
        row["error"] = yield Pull(name, params, sizes)
        again, row["next_step"] = advice(row["error"]) if row["error"] else (False, "")
        if not again or row["attempts"] > params["retries"]:
            return
        pause = min(2 ** row["attempts"], 60)
        yield Tell("waiting %d s after: %s" % (pause, row["error"]))
        yield Wait(pause)


def prove(name, params, expected, row, locked):
    """Compares the server's digest with what is expected; an unlocked tag that moved meanwhile is looked up again."""
    row["digest"] = digest_of(name, (yield from listed(params["url"]))) or ""
    if not row["digest"]:
        row.update(error="%s was pulled but is not listed" % name, next_step="see the server's log")
    elif expected and row["digest"] != expected:
        again = None if locked else (yield from ask(name, {"notes": []}))[0]
        if again != row["digest"]:
            row["error"] = "digest is %s, the manifest that was asked for has %s" % (row["digest"][:12], expected[:12])
            row["next_step"] = "a mirror or proxy serves another manifest; compare them, then pull again"
    elif not expected:
        row["notes"].append("digest not compared: the registry could not be asked from the host")


def retired(source):
    """Name for the version that is replaced, until its blobs can go."""
    return source.rpartition(":")[0] + ":reaper-ops-old"


def rename(name, source, params):
    """From the mirror's name to the model's own. A version that was there before leaves with its blobs."""
    url, old = params["url"], retired(source)
    if digest_of(name, (yield from listed(url))) is not None:
        yield from copy(url, name, old)
    yield from copy(url, source, name)
    yield from tidy(name, source, params)


def tidy(name, source, params, models=None):
    """Takes names away that only served the pull, also those of a pull that was killed."""
    if source == name:
        return False
    models = (yield from listed(params["url"])) if models is None else models
    spare = [one for one in models if any(same_name(one, other) for other in (source, retired(source)))]
    spare = [one for one in spare if not any(same_name(one, other) for other in params["models"])]
    for one in spare:
        yield from drop(params["url"], one)
    return bool(spare)


def finish(name, source, params, expected, row):
    """Proves what was pulled, and gives it its own name only then."""
    locked = name in params["locked"]
    yield from prove(source, params, expected, row, locked)
    if row["error"]:
        yield from tidy(name, source, params)
    elif source != name:
        yield from rename(name, source, params)
        yield from prove(name, params, expected, row, locked)


def pull(name, params):
    row = dict(unchanged(name, ""), bytes=0)
    expected, sizes = yield from look_up(name, params, row)
    if row["error"]:
        return row
    source = params["sources"].get(name, name)
    yield Start(name, sizes)
    began = yield Now()
    yield from attempt_all(source, params, row, sizes if name in params["locked"] else None)
    row["seconds"] = round((yield Now()) - began, 2)
    if not row["error"]:
        yield Tell("naming")
        row["changed"] = True
        try:
            yield from finish(name, source, params, expected, row)
        except Trouble as trouble:
            step = advice(str(trouble))[1]
            row.update(error=str(trouble), next_step=SERVER if step == OTHERWISE[1] else step)
            yield from leave_no_alias(name, source, params, row)
        yield from look_again(name, params, expected, row)
    return row


def leave_no_alias(name, source, params, row):
    """A model that could not be given its own name keeps no other; the mirror still has its bytes."""
    try:
        yield from tidy(name, source, params)
    except Trouble as trouble:
        row["notes"].append("the name %s may be left, for the next run to take away: %s" % (source, trouble))


def look_again(name, params, expected, row):
    """Another controller that brings the same may name the model first, and take the other name away under us."""
    if row["error"] and expected:
        with contextlib.suppress(Trouble):
            if digest_of(name, (yield from listed(params["url"]))) == expected:
                row.update(error="", next_step="", digest=expected)


def is_right(name: str, digest: str | None, params: Mapping[str, Any]) -> bool:
    """A server lists a model whose blobs are damaged or gone, so `again` takes no list for a proof."""
    if params["again"]:
        return False
    promised = params["locked"].get(name)
    return digest is not None and (not promised or promised["digest"].rpartition(":")[2] == digest)


def bring(params: Mapping[str, Any], rows: list[Row]) -> Steps[None]:
    """Fills `rows` with one row for each wanted model, in their order; who is stopped half-way has what is done."""
    have = yield from listed(params["url"])
    yield from clear_leases(params["url"], have)
    for name in dict.fromkeys(params["models"]):
        digest = digest_of(name, have)
        if is_right(name, digest, params):
            rows.append(unchanged(name, digest))
            rows[-1]["changed"] = yield from tidy(name, params["sources"].get(name, name), params, have)
        else:
            rows.append((yield from pull(name, params)))
            yield Tell("failed: %s" % rows[-1]["error"] if rows[-1]["error"] else "done")
            yield Keep(rows[-1])


def walk(steps: Generator[Any, Any, Result], do: Callable[[Any], Any]) -> Result:
    """Walks a rule to its end, each step done by `do`; gives what the rule returns."""
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
