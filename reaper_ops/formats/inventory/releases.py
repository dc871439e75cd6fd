"""The releases that the table knows, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from reaper_ops.core.inventory.releases import REASON, Release, recommended, unbounded

SCHEMA = "reaper-ops/releases/1"
HEADER = ("VERSION", "DATE", "ARCHIVES", "STORE", "VULNERABILITIES", "")


def as_text(releases: Sequence[Release]) -> str:
    """A table; one release alone with all that is known of it."""
    if len(releases) == 1:
        return _details(releases[0])
    rows = [HEADER, *map(_row, releases)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    footnote = f"No range of releases is named for {', '.join(unbounded())}: `reaper-ops releases VERSION` says more."
    lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", f"Recommended: {recommended()}, {REASON}.", footnote])


def _row(release: Release) -> tuple[str, ...]:
    refused = release.refused_for()
    number = len(release.vulnerabilities)
    return (
        release.version,
        release.date or "-",
        " ".join(sorted(release.architectures)),
        release.store,
        f"{number}, refused: {refused[0].id}" if refused else str(number or "-"),
        "recommended" if release.version == recommended() else "",
    )


def _details(release: Release) -> str:
    lines = [f"Ollama {release.version}" + (" (recommended)" if release.version == recommended() else "")]
    lines += [f"  released   {release.date}"] if release.date else []
    lines += [f"  checksums  {', '.join(sorted(release.architectures))}", f"  store      {release.store}/"]
    lines += [f"  engine     {release.engine}"] if release.engine else []
    lines += [f"  known      {note}" for note in release.known]
    lines += [f"  vulnerable {row.described()} ({row.source})" for row in release.vulnerabilities]
    lines += [f"  unbounded  {id_}: {what}" for id_, what in unbounded().items()]
    if release.refused_for():
        lines.append(f"  `plan` and `up` refuse it: a request alone runs code on the host. Use {recommended()}.")
    return "\n".join(lines)


def as_json(releases: Sequence[Release]) -> str:
    document = {
        "schema": SCHEMA,
        "recommended": recommended(),
        "reason": REASON,
        "unbounded": dict(unbounded()),
        "releases": [_json(release) for release in releases],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _json(release: Release) -> dict[str, Any]:
    return {
        "version": release.version,
        "date": release.date,
        "architectures": sorted(release.architectures),
        "store": release.store,
        "engine": release.engine,
        "known": list(release.known),
        "refused": bool(release.refused_for()),
        "vulnerabilities": [
            {"id": row.id, "what": row.what, "since": row.since, "fixed": row.fixed, "through": row.through}
            for row in release.vulnerabilities
        ],
    }


FORMATS: dict[str, Callable[[Sequence[Release]], str]] = {"text": as_text, "json": as_json}
