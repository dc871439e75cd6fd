"""Where a setting of a host comes from: what Ansible wrote down group by group, against what it merged."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from reaper_ops.core.inventory.hosts import Host, Listing


@dataclass(frozen=True)
class SettingOrigin:
    """source: `default`, `group NAME`, `host`, `extra vars` or `inventory`; file is `path:line` where it is known."""

    source: str
    file: str = ""
    template: bool = False
    secret: bool = False

    def __str__(self) -> str:
        notes = [note for note, on in (("from a template", self.template), ("from a vault", self.secret)) if on]
        return ", ".join([f"{self.source} ({self.file})" if self.file else self.source, *notes])


DEFAULT = SettingOrigin("default")


@dataclass(frozen=True)
class Effective:
    """A host, and where each of its settings comes from."""

    host: Host
    origins: Mapping[str, SettingOrigin]


class Groups:
    """The groups of an exported listing: who is in them, how deep they lie, and what they say."""

    def __init__(self, export: Listing) -> None:
        self.export = export
        self.parents: dict[str, list[str]] = {}
        for name, group in export.items():
            for child in group.get("children", ()) if name != "_meta" else ():
                self.parents.setdefault(child, []).append(name)
        self.depths: dict[str, int] = {}
        self.members: dict[str, list[str]] = {}
        for name, group in export.items():
            for host in group.get("hosts", ()) if name != "_meta" else ():
                self.members.setdefault(host, []).append(name)

    def depth(self, group: str) -> int:
        if group not in self.depths:
            above = self.parents.get(group, ())
            self.depths[group] = 1 + max((self.depth(parent) for parent in above), default=-1)
        return self.depths[group]

    def of(self, host: str) -> list[str]:
        """Direct and indirect groups, most specific first, as Ansible lets them win."""
        found = {"all"}
        waiting = list(self.members.get(host, ()))
        while waiting:
            group = waiting.pop()
            if group not in found:
                found.add(group)
                waiting += self.parents.get(group, ())
        return sorted(found, key=lambda name: (self.depth(name), name), reverse=True)

    def variables(self, group: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.export.get(group, {}).get("vars", {})
        return found


def origin(
    host: str,
    name: str,
    merged: Mapping[str, Any],
    groups: Groups,
    extra: Collection[str],
    files: Mapping[str, str],
) -> SettingOrigin:
    """merged: the host's variables before templating; extra: names of extra variables; files: `path:line` per name."""
    if name not in merged or merged[name] is None:
        return DEFAULT
    value = merged[name]
    text = str(value)
    return SettingOrigin(
        _source(host, name, value, groups, extra),
        files.get(name, ""),
        template="{{" in text or "{%" in text,
        secret="__ansible_vault" in text,
    )


def _source(host: str, name: str, value: Any, groups: Groups, extra: Collection[str]) -> str:
    if name in extra:
        return "extra vars"
    own = groups.export.get("_meta", {}).get("hostvars", {}).get(host, {})
    if name in own and own[name] == value:
        return "host"
    for group in groups.of(host):
        said = groups.variables(group)
        if name in said and said[name] == value:
            return f"group {group}"
    return "inventory"
