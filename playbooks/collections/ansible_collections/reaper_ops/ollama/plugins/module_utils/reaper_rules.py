# SPDX-License-Identifier: Apache-2.0
"""How a host gets its models, without I/O: the host's own module and the controller walk the same steps.

A rule is a generator. It yields requests (`Ask`, `Pull`, `Look`, …) and is sent their results; the caller performs the
I/O. Standard library only; nothing here touches a file, a socket or a clock.
"""

from __future__ import annotations

import contextlib
from typing import Any, Iterable, Mapping

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_answers, reaper_layout
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import brief
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import (  # noqa: F401 - whoever walks the rules has all of it from here
    ENDED,
    NAME,
    OTHERWISE,
    ROOM,
    SERVER,
    Answer,
    Ask,
    Keep,
    Known,
    Look,
    Now,
    Pull,
    Room,
    Row,
    Start,
    Steps,
    Stream,
    Tell,
    Trouble,
    Wait,
    advice,
    digest_of,
    gone,
    pull_body,
    said,
    same_name,
    split_name,
    walk,
)

LEASE = "reaper-ops/lock:"


def listing(url: str) -> Steps[list[Row]]:
    """Rows of the server's list, without invalid names and what a migration leaves for an older server."""
    try:
        answer = yield Ask("GET", "/api/tags")
    except Trouble as trouble:
        raise Trouble("%s cannot be reached or is not Ollama: %s" % (url, trouble)) from None
    if answer.status != 200:
        raise Trouble("%s/api/tags answers %d: %s" % (url, answer.status, brief(answer.text, 200)))
    found = reaper_answers.rows(answer.text)
    if found is None:
        raise Trouble("%s cannot be reached or is not Ollama: /api/tags returns no list of models" % url)
    return [row for row in found[0] if not reaper_layout.is_shadow(row["name"])]


def listed(url: str) -> Steps[dict[str, str]]:
    """{name: digest} of the server's models."""
    return {row["name"]: row["digest"] for row in (yield from listing(url))}


def send(url: str, method: str, path: str, body: object) -> Steps[str]:
    """The body of a 200; anything else raises Trouble."""
    try:
        answer = yield Ask(method, path, body)
    except Trouble as trouble:
        raise Trouble("%s%s: no complete answer (%s)" % (url, path, trouble)) from None
    if answer.status != 200:
        raise Trouble("%s%s: %s" % (url, path, said(answer)))
    return answer.text


def copy(url: str, source: str, destination: str) -> Steps[None]:
    """Gives a model another name; the bytes of its manifest, and so its digest, stay the same."""
    yield from send(url, "POST", "/api/copy", {"source": source, "destination": destination})


def delete(url: str, name: str) -> Steps[None]:
    """Removes a name; blobs stay while another name uses them."""
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
    """Digest and sizes from the registry, or a note; fails the row if the pull cannot work."""
    try:
        return (yield Look(name))
    except LookupError as error:
        row.update(error=str(error), next_step=NAME)
    except Trouble as trouble:
        row["notes"].append("not compared with the registry first: %s" % trouble)
    return None, {}


def look_up(name, params, row):
    """What the model must be: from the lock, otherwise from the registry; None if neither has it."""
    source, promised = params["sources"].get(name, name), params["locked"].get(name)
    digest, sizes = yield from ask(source, row)
    if promised and not row["error"]:
        wanted = promised["digest"].rpartition(":")[2]
        if digest and digest != wanted:
            told = (source, wanted[:12], digest[:12])
            row["error"] = "%s differs from the lock: the lock has %s, the registry %s" % told
            row["next_step"] = "the tag has moved: `reaper-ops models update` updates the lock"
        digest, sizes = wanted, promised["blobs"]
    if not row["error"]:
        found = yield Room(name, sizes)
        row["notes"] += found.pop("notes", [])
        row.update(found)
    return digest, sizes


def attempt_all(name, params, row, sizes):
    """Pulls until it succeeds, the error is permanent, or the attempts are used up."""
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
    """Compares the server's digest with the expected one; looks up again an unlocked tag that moved meanwhile."""
    row["digest"] = digest_of(name, (yield from listed(params["url"]))) or ""
    if not row["digest"]:
        row["error"] = "the server said success, but %s is not in its list" % name
        row["next_step"] = "check the server's log"
    elif expected and not (yield from is_it(row["digest"], expected)):
        again = None if locked else (yield from ask(name, {"notes": []}))[0]
        if again is None or not (yield from is_it(row["digest"], again)):
            row["error"] = "the digest is %s, the requested manifest has %s" % (row["digest"][:12], expected[:12])
            row["next_step"] = "a mirror or proxy serves another manifest; compare them, then pull again"
    elif not expected:
        row["notes"].append("digest not compared: the host does not reach the registry")


def retired(source):
    """Temporary name for the replaced version, until its blobs can be removed."""
    return source.rpartition(":")[0] + ":reaper-ops-old"


def rename(name, source, params):
    """Renames from the mirror's name to the model's own. A previous version is removed with its blobs."""
    url, old = params["url"], retired(source)
    if digest_of(name, (yield from listed(url))) is not None:
        yield from copy(url, name, old)
    yield from copy(url, source, name)
    yield from tidy(name, source, params)


def tidy(name, source, params, models=None):
    """Removes names that only served the pull, including those of a killed pull."""
    if source == name:
        return False
    models = (yield from listed(params["url"])) if models is None else models
    spare = [one for one in models if any(same_name(one, other) for other in (source, retired(source)))]
    spare = [one for one in spare if not any(same_name(one, other) for other in params["models"])]
    for one in spare:
        yield from drop(params["url"], one)
    return bool(spare)


def finish(name, source, params, expected, row):
    """Verifies what was pulled, and only then gives it its own name."""
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
    """A model that could not get its own name keeps no other; the mirror still has its bytes."""
    try:
        yield from tidy(name, source, params)
    except Trouble as trouble:
        row["notes"].append("the temporary name %s may be left, and the next run removes it: %s" % (source, trouble))


def look_again(name, params, expected, row):
    """Another controller that brings the same may name the model first, and take the other name away under us."""
    if row["error"] and expected:
        with contextlib.suppress(Trouble):
            digest = digest_of(name, (yield from listed(params["url"])))
            if digest is not None and (yield from is_it(digest, expected)):
                row.update(error="", next_step="", digest=digest)


def is_right(name: str, digest: str | None, params: Mapping[str, Any]) -> bool:
    """A server also lists a model whose blobs are damaged or gone, so `again` does not trust the list."""
    if params["again"]:
        return False
    promised = params["locked"].get(name)
    return digest is not None and (not promised or promised["digest"].rpartition(":")[2] == digest)


def is_it(digest: str, wanted: str) -> Steps[bool]:
    """Whether what a server lists with one digest is what a registry has with another, by what is in the store."""
    return digest == wanted or "sha256:" + wanted in ((yield Known("sha256:" + digest)) or ())


def is_promised(name: str, digest: str | None, params: Mapping[str, Any]) -> Steps[bool]:
    """As `is_right`, also for a model that a server from 0.40 on has rewritten."""
    promised = params["locked"].get(name)
    if is_right(name, digest, params) or params["again"] or digest is None or not promised:
        return is_right(name, digest, params)
    return (yield from is_it(digest, promised["digest"].rpartition(":")[2]))


def bring(params: Mapping[str, Any], rows: list[Row]) -> Steps[None]:
    """Fills `rows` with one row per wanted model, in order; after an interruption, it holds what is done."""
    have = yield from listed(params["url"])
    yield from clear_leases(params["url"], have)
    for name in dict.fromkeys(params["models"]):
        digest = digest_of(name, have)
        if (yield from is_promised(name, digest, params)):
            rows.append(unchanged(name, digest))
            rows[-1]["changed"] = yield from tidy(name, params["sources"].get(name, name), params, have)
        else:
            rows.append((yield from pull(name, params)))
            yield Tell("failed: %s" % rows[-1]["error"] if rows[-1]["error"] else "done")
            yield Keep(rows[-1])
