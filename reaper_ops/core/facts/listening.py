"""Who listens on the server's port, and where our own server listens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts.answers import Answers, Ask, mapping, text, whole
from reaper_ops.core.facts.model import Holder
from reaper_ops.core.facts.running import server
from reaper_ops.core.inventory.settings import Settings


def asks(settings: Settings) -> list[Ask]:
    ask = {"port": settings.ollama_port, "bind": settings.ollama_bind, "server": server(settings)}
    return [{"id": "port", "kind": "port", **ask}]


def parse(settings: Settings, answers: Answers) -> tuple[Holder, ...] | None:
    """None where it was not read."""
    answer = answers.get("port")
    rows = answer.get("rows")
    if not isinstance(rows, list):
        return None
    apart = whole(answer.get("taken")) == 0
    found = (_holder(mapping(row), apart, settings.ollama_runtime) for row in rows)
    return tuple(one for one in found if one is not None)


def _holder(row: Mapping[str, Any], apart: bool, runtime: str) -> Holder | None:
    address, port = text(row.get("address")), whole(row.get("port"))
    if not address or port is None:
        return None
    argv = row.get("argv")
    cgroup, container = text(row.get("cgroup")) or "", text(row.get("container")) or ""
    by_runtime = {
        "systemd": cgroup.endswith(f"/{places.UNIT}"),
        "docker": container.split(" ")[0] == places.CONTAINER,
    }
    return Holder(
        address="::" if address == "*" else address,
        port=port,
        pid=whole(row.get("pid")),
        user=text(row.get("user")) or "",
        argv=tuple(str(word) for word in argv) if isinstance(argv, list) else (),
        unit=text(row.get("unit")) or "",
        container=container,
        store=_store(row),
        ours=row.get("ours") is True or by_runtime.get(runtime, False),
        mark=text(row.get("mark")) or "",
        ipv6_only=apart and address == "*",
    )


def _store(row: Mapping[str, Any]) -> str:
    """The models of a server that somebody started by hand."""
    models, home = text(row.get("models")) or "", text(row.get("home")) or ""
    return models or (f"{home}/.ollama/models" if home else "")
