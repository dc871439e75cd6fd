"""Releases of Ollama: which the table knows, what each carries, and which one is recommended."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from reaper_ops import assets
from reaper_ops.core.inventory.environment import version_key
from reaper_ops.errors import ReaperError

ARCHITECTURES = frozenset({"amd64", "arm64"})
MANIFEST_LISTS = "0.40.0"
"""First release with `manifests-v2/`, manifest lists and the background migration (`manifest/paths.go` of Ollama)."""
REASON = (
    "the newest release without a vulnerability that runs code on a request, and with the store that is fully handled"
)


@dataclass(frozen=True)
class Vulnerability:
    """One row of `vulnerabilities.json`; refused: a request alone runs code on the host."""

    id: str
    what: str
    since: str | None
    fixed: str | None
    through: str | None
    source: str
    refused: bool = False

    def affects(self, version: str) -> bool:
        """Whether a release is in the range: from `since` on, before `fixed`, or up to and including `through`."""
        key = version_key(version)
        if self.since is not None and key < version_key(self.since):
            return False
        return key < version_key(self.fixed) if self.fixed is not None else key <= version_key(self.through or "")

    def bound(self) -> tuple[int, ...]:
        """Sort key of the range's upper end."""
        return version_key(self.fixed or self.through or "")

    def described(self) -> str:
        since = f"since {self.since}, " if self.since else ""
        until = f"fixed in {self.fixed}" if self.fixed else f"reported for versions up to {self.through}"
        return f"{self.id}: {self.what}; {since}{until}"


@dataclass(frozen=True)
class Release:
    """architectures: those whose base archive has a known checksum; store: directory of the tags in the model store."""

    version: str
    date: str | None
    architectures: frozenset[str]
    store: str
    engine: str | None
    known: tuple[str, ...]
    vulnerabilities: tuple[Vulnerability, ...]

    def refused_for(self) -> tuple[Vulnerability, ...]:
        return tuple(row for row in self.vulnerabilities if row.refused)


@cache
def vulnerabilities() -> tuple[Vulnerability, ...]:
    return tuple(Vulnerability(**row) for row in assets.data("vulnerabilities.json")["known"])


@cache
def unbounded() -> Mapping[str, str]:
    """Vulnerabilities for which no source names a range of releases: id to what is known."""
    found: Mapping[str, str] = assets.data("vulnerabilities.json")["not_by_version"]
    return found


def affecting(version: str) -> tuple[Vulnerability, ...]:
    """The known vulnerabilities of a version; none for one that is not a release's number, such as `0.0.0`."""
    key = version_key(version)
    if len(key) < 3 or key == (0, 0, 0):
        return ()
    return tuple(row for row in vulnerabilities() if row.affects(version))


def refused_for(version: str, accepted: Mapping[str, tuple[str, ...]]) -> tuple[Vulnerability, ...]:
    """Why a version must not be installed, less what the user accepts for exactly this version."""
    return tuple(row for row in affecting(version) if row.refused and row.id not in accepted.get(version, ()))


@cache
def releases() -> tuple[Release, ...]:
    """All releases of the table, newest first."""
    table = assets.data("releases.json")
    found = [_release(version, archives, table["notes"]) for version, archives in table["releases"].items()]
    return tuple(sorted(found, key=lambda release: version_key(release.version), reverse=True))


def _release(version: str, archives: Mapping[str, Any], notes: Mapping[str, Any]) -> Release:
    note = notes.get(version, {})
    return Release(
        version=version,
        date=note.get("date"),
        architectures=ARCHITECTURES & {name.split("-")[2].split(".")[0] for name in archives},
        store="manifests" if version_key(version) < version_key(MANIFEST_LISTS) else "manifests-v2",
        engine=note.get("engine"),
        known=tuple(note.get("known", ())),
        vulnerabilities=affecting(version),
    )


def find(version: str) -> Release:
    """One release, with or without the leading v; an error names the closest that the table knows."""
    wanted = version.removeprefix("v")
    rows = {release.version: release for release in releases()}
    if wanted in rows:
        return rows[wanted]
    close = difflib.get_close_matches(wanted, list(rows), n=3, cutoff=0.6)
    near = f"; it has {', '.join(close)}" if close else ""
    raise ReaperError(version, f"not in the table of releases{near}", "`reaper-ops releases --all` lists them")


@cache
def recommended() -> str:
    """The version that is installed where the inventory names none; `REASON` says why this one."""
    return next(
        release.version
        for release in releases()
        if release.architectures == ARCHITECTURES and release.store == "manifests" and not release.refused_for()
    )
