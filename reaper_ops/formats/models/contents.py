"""What is wrong with the bytes of models on hosts, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

from reaper_ops.core.models import names
from reaper_ops.core.models.contents import Checked, CheckedStore, Verified
from reaper_ops.core.values import counted, human_bytes
from reaper_ops.formats.visible import field, one_line

SCHEMA = "reaper-ops/models.verify/1"


def as_text(found: Verified) -> str:
    rows = [one for store in found.stores for one in store.models]
    width = max((len(one.host) for one in rows), default=0)
    wide = max((len(names.short(one.name)) for one in rows), default=0)
    lines = [f"{one.host:{width}}  {names.short(one.name):{wide}}  {_verdict_of(one)}" for one in rows]
    lines += [line for store in found.stores for line in _unreferenced(store)]
    lines += [f"{host}: {problem}" for host, problem in found.problems.items()]
    return "\n".join(map(one_line, [*lines, *found.notes, _sum(found)]))


def _verdict_of(one: Checked) -> str:
    if one.problem:
        return f"{one.state.upper()}: {one.problem}; {one.next_step}"
    state = "ok, not locked" if one.state != "ok" else "ok (migrated)" if one.migrated else "ok"
    return f"{state}  {one.digest[:12]}  {counted(one.count, 'blob')}"


def _unreferenced(store: CheckedStore) -> list[str]:
    lines = []
    for blob in store.unnamed:
        wrong = f" and {blob.problem}; a pull would take it as it is" if blob.state != "ok" else ""
        lines.append(f"{store.host}: no manifest names {blob.file[:19]} ({human_bytes(blob.bytes)}){wrong}")
    if store.unfinished:
        lines.append(f"{store.host}: {store.unfinished} downloads are unfinished; the next pull goes on with them")
    return lines


def _sum(found: Verified) -> str:
    hosts = [store.host for store in found.stores]
    bad = {one.host for store in found.stores for one in store.models if one.problem} | set(found.problems)
    bad |= {store.host for store in found.stores if store.damaged}
    read = human_bytes(sum(store.bytes for store in found.stores))
    total = len(set(hosts) | set(found.problems))
    return f"{total - len(bad)} of {total} hosts hold what they shall; {read} read and hashed"


def as_json(found: Verified) -> str:
    document = {
        "schema": SCHEMA,
        "hosts": [asdict(store) for store in found.stores],
        "problems": dict(found.problems),
        "notes": found.notes,
    }
    return json.dumps(document, indent=2)


def as_lines(found: Verified) -> str:
    rows = []
    for store in found.stores:
        for one in store.models:
            blobs = ",".join(blob.file for blob in one.blobs) or "-"
            rows.append(
                f"{field(one.host)} {field(one.name)} {field(one.state)} {field(one.digest or '-')} {field(blobs)}"
            )
        rows += [f"{field(store.host)} - unnamed-{field(blob.state)} - {field(blob.file)}" for blob in store.unnamed]
    return "\n".join([*rows, *(f"{field(host)} - failed - -" for host in found.problems)])


FORMATS: dict[str, Callable[[Verified], str]] = {"text": as_text, "json": as_json, "lines": as_lines}
