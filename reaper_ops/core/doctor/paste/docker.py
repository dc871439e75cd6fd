"""Container engines: inspect in whole and in part, info, rows of `ps`, and a server's own JSON answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from reaper_ops.core.doctor.paste import compose
from reaper_ops.core.doctor.paste.block import Block, Kind
from reaper_ops.core.doctor.paste.evidence import PastedEvidence

ROW_PARTS = frozenset({"State", "Config", "HostConfig", "Mounts", "NetworkSettings", "RestartCount"})
HEALTH = frozenset({"Status", "FailingStreak", "Log"})
NAMED = re.compile(r"\b(?:docker|podman)\b.{0,60}\binspect\b.{0,200}?([\w.-]{1,128})\s*(?:\||$)")


def inspected(value: object) -> bool:
    return any(
        isinstance(row, Mapping) and (len(ROW_PARTS & set(row)) >= 1 and not {"models", "model"} & set(row))
        for row in _rows(value)
    )


def health(value: object) -> bool:
    return isinstance(value, Mapping) and {"Status", "FailingStreak"} <= set(value)


def state(value: object) -> bool:
    return isinstance(value, Mapping) and {"Status", "ExitCode"} <= set(value)


def mounts(value: object) -> bool:
    rows = _rows(value)
    return bool(rows) and all(isinstance(row, Mapping) and {"Type", "Destination"} <= set(row) for row in rows)


def info(value: object) -> bool:
    return isinstance(value, Mapping) and bool({"ServerVersion", "DockerRootDir"} & set(value))


def _rows(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def inspect(block: Block, into: PastedEvidence) -> bool:
    for row in _rows(block.value):
        if isinstance(row, Mapping):
            _add(block, dict(row), into)
    return True


def part_of(*way: str) -> Any:
    """A part that `--format` picked, put where it stands in the whole."""

    def read(block: Block, into: PastedEvidence) -> bool:
        value: Any = block.value
        for name in reversed(way):
            value = {name: value}
        _add(block, value, into)
        return True

    return read


def _add(block: Block, row: dict[str, Any], into: PastedEvidence) -> None:
    named = NAMED.search(block.command)
    row.setdefault("Name", named[1] if named else "")
    row.setdefault("Id", "")
    into.row("containers", row)
    into.runtimes.append("docker")


def engine(block: Block, into: PastedEvidence) -> bool:
    into.add("docker-info", json.dumps(block.value))
    return True


def info_text(block: Block, into: PastedEvidence) -> bool:
    """`docker info` for people."""
    pairs = [line.text.strip().partition(": ") for line in block.lines]
    given = {name: value.strip() for name, mark, value in pairs if mark}
    runtimes = given.get("Runtimes", "").split()
    names = {"Server Version": "ServerVersion", "Docker Root Dir": "DockerRootDir", "Storage Driver": "Driver"}
    names |= {"Cgroup Driver": "CgroupDriver", "Operating System": "OperatingSystem"}
    found: dict[str, Any] = {to: given[name] for name, to in names.items() if name in given}
    if runtimes:
        found["Runtimes"] = {name: {} for name in runtimes}
    if any(line.text.strip() == "rootless" for line in block.lines):
        found["SecurityOptions"] = ["name=rootless"]
    into.add("docker-info", json.dumps(found))
    return bool(found)


STATES = {"Up": "running", "Exited": "exited", "Restarting": "restarting", "Created": "created", "Paused": "paused"}
STATUS = re.compile(
    r"\b(Up|Exited|Restarting|Created|Paused)\b(?: \(([0-9]{1,3})\))?[\w ]{0,40}(?:\((healthy|unhealthy"
    r"|health: starting)\))?"
)
PUBLISHED = re.compile(
    r"(?<![^\s,])([0-9a-fA-F.:*\[\]]{1,45}):([0-9]{1,5})(?:-[0-9]{1,5})?->([0-9]{1,5})(?:-[0-9]{1,5})?/tcp"
)


def listed(block: Block, into: PastedEvidence) -> bool:
    """Rows of `docker ps`; what stands in no column is unknown."""
    found = 0
    for line in block.lines:
        status, words = STATUS.search(line.text), line.text.split()
        if not status or len(words) < 4 or words[0] in {"CONTAINER", "NAME", "NAMES"}:
            continue
        ports: dict[str, list[dict[str, str]]] = {}
        for address, host_port, port in PUBLISHED.findall(line.text):
            ports.setdefault(f"{port}/tcp", []).append({"HostIp": address.strip("[]"), "HostPort": host_port})
        by_id = re.fullmatch(r"[0-9a-f]{12,64}", words[0])
        row: dict[str, Any] = {"Id": words[0] if by_id else "", "Name": words[-1] if by_id else words[0]}
        row |= {"Config": {"Image": words[1]}, "State": {"Status": STATES[status[1]], "ExitCode": int(status[2] or 0)}}
        if status[3]:
            row["State"]["Health"] = {"Status": status[3].removeprefix("health: ")}
        row["NetworkSettings"] = {"Ports": ports}
        into.row("containers", row)
        found += 1
    return found > 0


KINDS = (
    Kind(
        "docker inspect",
        inspect,
        command=re.compile(r"\b(?:docker|podman)\b.{0,40}\binspect\b"),
        goes_on=re.compile("(?!)"),
        fits=inspected,
    ),
    Kind("docker inspect .State.Health", part_of("State", "Health"), fits=health),
    Kind("docker inspect .State", part_of("State"), fits=state),
    Kind("docker inspect .Mounts", part_of("Mounts"), fits=mounts),
    Kind("docker info", engine, fits=info),
    Kind(
        "docker info text",
        info_text,
        re.compile(r"Client: ?(?:Docker|Version|$)| Server Version: "),
        re.compile(r"\A(?:\s{1,8}\S|(?:Server|Client|WARNING|Registry)\b.{0,80}:?|\s*$)"),
        re.compile(r"\bdocker\s+(?:system )?info\b"),
        whole=True,
    ),
    Kind(
        "docker ps",
        listed,
        re.compile(r"CONTAINER ID\s{1,12}IMAGE\b|NAME\s{1,40}IMAGE\s{1,40}COMMAND\b"),
        re.compile(r"\A(?:[0-9a-f]{12}\s|\S{1,80}\s{1,60}\S{1,120}\s{1,60}\")"),
        re.compile(r"\b(?:docker|podman)\b(?: compose)? (?:container )?(?:ps|ls)\b|docker-compose ps"),
        whole=True,
    ),
    Kind(
        "compose file",
        compose.read,
        re.compile(r"services:\s*$"),
        re.compile(
            r"\A(?:\s{1,40}\S|\s*$|(?:volumes|networks|services|version|name|configs|secrets|x-[\w-]{1,40}):|#)"
        ),
        re.compile(r"\b(?:cat|more|less)\b.{0,80}compose.{0,12}\.ya?ml|compose.{0,20}\bconfig\b"),
        whole=True,
    ),
)
