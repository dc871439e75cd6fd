"""A Compose file as the containers that it asks for: the part of YAML that such files are written in, by "
"indentation."""

from __future__ import annotations

import re
from typing import Any

from reaper_ops.core.doctor.paste.block import Block
from reaper_ops.core.doctor.paste.evidence import PastedEvidence

ITEM = re.compile(r"( {0,80})(?:- )?([\w./-]{1,128}):(?: (.*))?$")
LISTED = re.compile(r"( {0,80})- (.*)$")
PORT = re.compile(r"(?:(\[[0-9a-fA-F:]{2,45}\]|[0-9.]{7,15}):)?([0-9]{1,5}):([0-9]{1,5})(?:/tcp)?$")


def read(block: Block, into: PastedEvidence) -> bool:
    services = parsed([line.text.expandtabs(2) for line in block.lines])
    for name, keys in services.items():
        into.row("containers", container(name, keys))
    if any("ollama" in name or "ollama" in " ".join(keys.get("image", [])) for name, keys in services.items()):
        into.runtimes.append("docker")
    return bool(services)


def parsed(lines: list[str]) -> dict[str, dict[str, list[str]]]:
    """{service: {key: its value, or the items and lines below it}}."""
    found: dict[str, dict[str, list[str]]] = {}
    inside, service, key = False, "", ""
    level = [0, 0]
    for line in lines:
        bare, depth = line.strip(), len(line) - len(line.lstrip())
        if not bare or bare.startswith("#"):
            continue
        item = ITEM.match(line)
        if depth == 0:
            inside, service, level = bare.startswith("services:"), "", [0, 0]
        elif inside and item and not bare.startswith("- ") and (not level[0] or depth <= level[0]):
            service, level, key = item[2], [depth, 0], ""
            found[service] = {}
        elif service and item and not bare.startswith("- ") and (not level[1] or depth <= level[1]):
            level[1], key = depth, item[2]
            found[service][key] = [_plain(item[3])] if item[3] else []
        elif service and key:
            found[service][key].append(_plain(bare.removeprefix("- ")))
    return found


def _plain(text: str) -> str:
    bare = text.strip()[:2000].partition(" #")[0].rstrip()
    return bare[1:-1] if bare[:1] == bare[-1:] and bare[:1] in {"'", '"'} and len(bare) > 1 else bare


def container(name: str, keys: dict[str, list[str]]) -> dict[str, Any]:
    said = {key: values[0] if values else "" for key, values in keys.items()}
    return {
        "Id": "",
        "Name": said.get("container_name") or name,
        "Config": {
            "Image": said.get("image", ""),
            "Env": [re.sub(r"^(\w{1,128}): ", r"\1=", row) for row in keys.get("environment", [])],
            "User": said.get("user", ""),
        },
        "State": {},
        "HostConfig": {
            "NetworkMode": said.get("network_mode", ""),
            "PortBindings": _ports(keys.get("ports", [])),
            "ExtraHosts": keys.get("extra_hosts", []),
            "Runtime": said.get("runtime", ""),
            "DeviceRequests": _gpu(keys.get("deploy", [])),
            "Devices": [{"PathOnHost": row.partition(":")[0]} for row in keys.get("devices", [])],
        },
        "Mounts": [_mount(row) for row in keys.get("volumes", []) if ":" in row],
    }


def _ports(rows: list[str]) -> dict[str, list[dict[str, str]]]:
    ports: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        found = PORT.search(re.sub(r"\$\{[^}:]{1,64}:-([^}]{0,64})\}", r"\1", row))
        if found:
            at = {"HostIp": (found[1] or "").strip("[]"), "HostPort": found[2]}
            ports.setdefault(f"{found[3]}/tcp", []).append(at)
    return ports


def _gpu(below: list[str]) -> list[dict[str, Any]]:
    asked = any("driver: nvidia" in row or "gpu" in row for row in below)
    return [{"Driver": "nvidia", "DeviceIDs": None}] if asked else []


def _mount(row: str) -> dict[str, str]:
    source, _, rest = row.partition(":")
    kind = "bind" if source[:1] in {"/", ".", "~", "$"} else "volume"
    return {
        "Type": kind,
        "Name": source if kind == "volume" else "",
        "Source": source,
        "Destination": rest.partition(":")[0],
    }
