"""The settings of hosts, for people and for machines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from reaper_ops.core.inventory.provenance import DEFAULT, Effective
from reaper_ops.core.inventory.settings.catalogue import SIZES
from reaper_ops.core.values import binary_size
from reaper_ops.formats.visible import one_line

SCHEMA = "reaper-ops/hosts/1"
_PASSWORD = re.compile(r"://[^/@\s]*@")


def as_text(hosts: Iterable[Effective], everything: bool) -> str:
    return "\n\n".join(_host(one, everything) for one in hosts)


def _host(one: Effective, everything: bool) -> str:
    rows = _rows(one, everything)
    head = f"{one.host.name}  {one.host.base_url}  ({_reached(one)})"
    if not rows:
        return f"{one_line(head)}\n  every setting is at its default"
    name_width = max(len(name) for name, _, _ in rows)
    value_width = min(40, max(len(value) for _, value, _ in rows))
    return "\n".join(map(one_line, [head, *(f"  {n:{name_width}}  {v:{value_width}}  {o}" for n, v, o in rows)]))


def _rows(one: Effective, everything: bool) -> list[tuple[str, str, str]]:
    return [
        (name, shown(name, getattr(one.host.settings, name), origin.secret), str(origin))
        for name, origin in one.origins.items()
        if everything or origin != DEFAULT
    ]


def _reached(one: Effective) -> str:
    host = one.host
    by = "this machine" if host.is_local else f"{host.connection} {host.address or host.name}"
    return ", ".join([by, *(f"group {group}" for group in host.groups)])


def shown(name: str, value: Any, secret: bool = False) -> str:
    """A value in the words of YAML; vaulted values and passwords in URLs stay hidden."""
    if secret:
        return "(hidden)"
    if value is None or value in ((), {}):
        return "-"
    if name in SIZES:
        return binary_size(value)
    if isinstance(value, str):
        return _PASSWORD.sub("://***@", value)
    if isinstance(value, tuple):
        return f"[{', '.join(str(item) for item in value)}]"
    return _PASSWORD.sub("://***@", json.dumps(value, ensure_ascii=False, default=list))


def as_json(hosts: Iterable[Effective], everything: bool) -> str:
    rows = [
        {
            "host": one.host.name,
            "base_url": one.host.base_url,
            "connection": one.host.connection,
            "address": one.host.address or one.host.name,
            "groups": one.host.groups,
            "settings": {
                name: _setting(name, getattr(one.host.settings, name), one.origins[name])
                for name in one.origins
                if everything or one.origins[name] != DEFAULT
            },
        }
        for one in hosts
    ]
    return json.dumps({"schema": SCHEMA, "hosts": rows}, indent=2)


def _setting(name: str, value: Any, origin: Any) -> dict[str, Any]:
    safe = shown(name, value, origin.secret) if origin.secret or isinstance(value, str) else value
    return {"value": safe, "source": origin.source, "file": origin.file or None, "template": origin.template}


FORMATS: dict[str, Callable[[Iterable[Effective], bool], str]] = {"text": as_text, "json": as_json}
