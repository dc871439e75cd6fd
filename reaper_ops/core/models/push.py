"""Models for hosts that reach no registry: blobs by `/api/blobs`, then a pull whose manifest alone comes from here.

The host finds every blob in its store and fetches the manifest byte for byte, so its digest is that of the lock;
`/api/create` would make another model of it.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from reaper_ops.core.models import names
from reaper_ops.core.models import pull_steps as rules
from reaper_ops.core.models.pull_steps import Row, Steps

HELLO = "reaper-ops/hello:now"
NOT_FOUND = "file does not exist"
"""What a server makes of a registry's 404."""


class Upload(NamedTuple):
    """Sends the file as a blob; comes back as an Answer, or as Trouble where there was none. rate: bytes per second."""

    digest: str
    path: str
    size: int
    patience: int
    rate: int = 0


def alias(name: str) -> str:
    """The model as the registry on this machine calls it, without host; models of two registries stay two."""
    whole = names.split(name)
    return f"push-{hashlib.sha256(whole.key.encode()).hexdigest()[:12]}/{whole.model}:{whole.tag}"


@dataclass(frozen=True)
class ThisMachine:
    """As hosts see it: its address (of itself that of the way to each host), port, most bytes per second to each."""

    address: str = ""
    port: int = 0
    rate: int = 0


@dataclass(frozen=True)
class PushRequest:
    """here: this machine's registry as the host sees it; files: where the bytes of each blob are."""

    here: str
    files: Mapping[str, str]
    rate: int = 0

    def params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        sources = {name: f"{self.here}/{alias(name)}" for name in params["models"]}
        return {**params, "sources": sources, "insecure_registries": [*params["insecure_registries"], self.here]}


def deliver(params: Row, rows: list[Row], push: PushRequest) -> Steps[bool]:
    """All steps of a push; whether the host reaches this machine, without which nothing is sent."""
    if not (yield from greet(params, push.here)):
        return False
    have = yield from rules.listed(params["url"])
    yield from rules.clear_leases(params["url"], have)
    for name in dict.fromkeys(params["models"]):
        yield from one(name, params, rows, push, have)
    with contextlib.suppress(rules.Trouble):
        yield from sweep(params["url"], have, [row["name"] for row in rows if not row["error"]])
    return True


def one(name: str, params: Row, rows: list[Row], push: PushRequest, have: Mapping[str, str]) -> Steps[None]:
    """Blobs and name of a model, before the next one: what another version leaves may take blobs that were there."""
    row = rules.unchanged(name, "")
    if not rules.is_right(name, rules.digest_of(name, have), params):
        yield rules.Start(name, params["locked"][name]["blobs"])
        for digest, size in params["locked"][name]["blobs"].items():
            upload = Upload(digest, push.files[digest], size, params["stall_timeout"], push.rate)
            yield from send(params, row, upload)
    if row["error"]:
        rows.append(row)
    else:
        yield from rules.bring({**params, "models": [name]}, rows)


def sweep(url: str, before: Iterable[str], done: Iterable[str]) -> Steps[None]:
    """Takes away what a push that was killed left: the registry here had another port then, and so another name."""
    ours = {alias(name).partition("/")[0] for name in done}
    left = [name for name in before if names.split(name).namespace in ours]
    there = (yield from rules.listed(url)) if left else {}
    for name in left:
        if name in there:
            yield from rules.drop(url, name)


def greet(params: Mapping[str, Any], here: str) -> Steps[bool]:
    """Has the host ask for what is not here: its answer tells whether it reaches us."""
    error = yield rules.Pull(f"{here}/{HELLO}", params)
    return NOT_FOUND in error


def send(params: Mapping[str, Any], row: Row, upload: Upload) -> Steps[None]:
    """One blob, unless an earlier one failed; what the host has is not sent again."""
    if row["error"]:
        return
    path = f"/api/blobs/{upload.digest}"
    for attempt in range(params["retries"] + 1):
        row["attempts"] = max(row["attempts"], attempt + 1)
        try:
            if (yield rules.Ask("HEAD", path)).status == 200:
                row["error"] = row["next_step"] = ""
                return
            answer = yield upload
            row["error"] = "" if answer.status in {200, 201} else rules.said(answer)
        except rules.Trouble as trouble:
            row["error"] = rules.gone(params["url"], trouble)
        again, row["next_step"] = rules.advice(row["error"]) if row["error"] else (False, "")
        if not again:
            return
        if attempt < params["retries"]:
            yield rules.Tell(f"waiting {min(2 ** (attempt + 1), 60)} s after: {row['error']}")
            yield rules.Wait(min(2 ** (attempt + 1), 60))
