"""What an engine holds under the names that ours would have: a container that was there first, volumes, networks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts.answers import Answers, Ask, as_json, mapping, text, whole
from reaper_ops.core.facts.containers import published
from reaper_ops.core.facts.docker import environment, gpu, patient, strings
from reaper_ops.core.facts.foreign import KEPT, PROJECT, PROJECT_LABEL, Foreign, ForeignMount, Held
from reaper_ops.core.inventory.settings import Settings

ON_PORT = (
    'ids=$(docker ps --quiet --no-trunc --filter publish={0}); [ -z "$ids" ] || docker inspect --type container $ids'
)


def asks(settings: Settings) -> list[Ask]:
    if settings.ollama_runtime != "docker":
        return []
    commands = {
        "container-kept": ["docker", "inspect", "--type", "container", KEPT],
        "volumes": ["docker", "volume", "ls", "--format", "{{json .}}"],
        "networks": ["docker", "network", "ls", "--format", "{{json .}}"],
        "images": ["docker", "images", "--no-trunc", "--digests", "--format", "{{json .}}"],
        "container-port": ["sh", "-c", ON_PORT.format(settings.ollama_port)],
    }
    return patient(commands)


def parse_foreign(answers: Answers) -> Foreign | None:
    """The container that has our name and is not ours; otherwise the one that ours replaced, or that has our port."""
    named = next((foreign(row, places.CONTAINER) for row in _inspected(answers, "container")), None)
    kept = next((foreign(row, KEPT) for row in _inspected(answers, "container-kept")), None)
    theirs = [one for one in (named, kept) if one is not None and one.project != PROJECT]
    if theirs or named is not None:
        return theirs[0] if theirs else None
    return next(filter(None, map(_on_port, _inspected(answers, "container-port"))), None)


def _inspected(answers: Answers, id_: str) -> list[Mapping[str, Any]]:
    rows = as_json(answers.out(id_))
    return [mapping(row) for row in rows] if isinstance(rows, list) else []


def _on_port(row: Mapping[str, Any]) -> Foreign | None:
    """An Ollama under another name, as Compose gives it."""
    words = [str(word).rsplit("/", 1)[-1] for word in (row.get("Path"), *strings(row.get("Args")))]
    name = (text(row.get("Name")) or "").removeprefix("/")
    found = foreign(row, name) if name and words[0] == "ollama" and "serve" in words else None
    return found if found is not None and found.project != PROJECT else None


def foreign(row: Mapping[str, Any], name: str) -> Foreign | None:
    config, host, state = (mapping(row.get(part)) for part in ("Config", "HostConfig", "State"))
    status, policy = text(state.get("Status")), mapping(host.get("RestartPolicy"))
    if not status:
        return None
    times = whole(policy.get("MaximumRetryCount"))
    restart = text(policy.get("Name")) or "no"
    networks = mapping(mapping(row.get("NetworkSettings")).get("Networks"))
    return Foreign(
        name=name,
        image=text(config.get("Image")) or "",
        state=status,
        restart=f"{restart}:{times}" if restart == "on-failure" and times else restart,
        network=text(host.get("NetworkMode")) or "",
        networks=tuple(sorted(map(str, networks))),
        mounts=tuple(_mounts(row.get("Mounts"))),
        published=published(row),
        environ=environment(strings(config.get("Env"))),
        gpu=gpu(host),
        memory_limit=whole(host.get("Memory")) or None,
        privileged=host.get("Privileged") is True,
        project=text(mapping(config.get("Labels")).get(PROJECT_LABEL)) or "",
    )


def _mounts(value: object) -> list[ForeignMount]:
    found = []
    for row in value if isinstance(value, list) else ():
        one = mapping(row)
        kind, target = text(one.get("Type")), text(one.get("Destination"))
        source = text(one.get("Name" if kind == "volume" else "Source"))
        if kind in {"volume", "bind"} and source and target:
            found.append(ForeignMount(kind, source, target, read_only=one.get("RW") is False))
    return sorted(found, key=lambda mount: mount.target)


def parse_volumes(answers: Answers) -> tuple[Held, ...] | None:
    return _holders(answers.out("volumes"))


def parse_networks(answers: Answers) -> tuple[Held, ...] | None:
    return _holders(answers.out("networks"))


def parse_images(answers: Answers) -> tuple[str, ...] | None:
    """Names with tag, and with digest where there is one; None when the engine did not say."""
    rows = _rows(answers.out("images"))
    if rows is None:
        return None
    names = [(str(row.get("Repository")), str(row.get("Tag")), str(row.get("Digest"))) for row in rows]
    found = [f"{name}:{tag}" for name, tag, _ in names if tag != "<none>"]
    return tuple(dict.fromkeys([*found, *(f"{name}@{digest}" for name, _, digest in names if digest != "<none>")]))


def _holders(output: str | None) -> tuple[Held, ...] | None:
    rows = _rows(output)
    return None if rows is None else tuple(Held(str(row.get("Name")), _project(row.get("Labels"))) for row in rows)


def _project(labels: object) -> str:
    pairs = (item.partition("=") for item in str(labels or "").split(","))
    return next((value for name, _, value in pairs if name == PROJECT_LABEL), "")


def _rows(output: str | None) -> list[Mapping[str, Any]] | None:
    """One JSON object a line."""
    if output is None:
        return None
    found = []
    for line in output.splitlines():
        try:
            found.append(mapping(json.loads(line)))
        except ValueError:
            continue
    return [row for row in found if row]
