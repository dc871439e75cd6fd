"""Containers that run Ollama or use one, as `docker inspect` shows them, reduced to what a diagnosis needs."""

import json
import re

from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_command import SAFE_ENV, run_command
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_host import redact, redact_words
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_traces import said

TOOLS = ("docker", "podman")
MAX_CONTAINERS = 100
TALKS = re.compile(r"ollama|11434", re.IGNORECASE)
HOST_CONFIG = (
    *("Memory", "MemorySwap", "NanoCpus", "CpuQuota", "CpuPeriod", "PortBindings", "DeviceRequests", "Devices"),
    *("Runtime", "GroupAdd", "NetworkMode", "ExtraHosts", "RestartPolicy", "Privileged", "ReadonlyRootfs", "ShmSize"),
    *("OomKillDisable", "Dns", "SecurityOpt", "IpcMode"),
)
CONFIG = ("Image", "Cmd", "Entrypoint", "User")
MOUNT = ("Type", "Name", "Source", "Destination", "RW")
TOP = ("Id", "Name", "Created", "Image", "Path", "RestartCount")


def read_containers(host, _ask):
    for tool in TOOLS:
        listed = run_command(host, {"argv": [tool, "ps", "--all", "--quiet", "--no-trunc"], "timeout": 5})
        if listed.get("missing"):
            continue
        if listed["rc"] != 0 or listed["timed_out"]:
            return dict(listed, tool=tool)
        ids = listed["stdout"].split()[:MAX_CONTAINERS]
        return dict(inspected(host, tool, ids), tool=tool)
    return {"missing": True}


def inspected(host, tool, ids):
    if not ids:
        return said("[]")
    argv = [tool, "inspect", "--type", "container", *ids]
    answer = run_command(host, {"argv": argv, "timeout": 6, "max_bytes": 8 << 20})
    try:
        rows = json.loads(answer["stdout"])
    except ValueError:
        return answer
    return said(json.dumps([slim(row) for row in rows if concerns(row)], indent=1, sort_keys=True))


def concerns(row):
    config, host = row.get("Config") or {}, row.get("HostConfig") or {}
    words = [row.get("Name"), config.get("Image"), row.get("Path"), *(row.get("Args") or [])]
    words += [*(config.get("Env") or []), *(host.get("ExtraHosts") or []), *(config.get("Cmd") or [])]
    return any(TALKS.search(str(word)) for word in words)


def slim(row):
    config, host, state = (row.get(name) or {} for name in ("Config", "HostConfig", "State"))
    networks = row.get("NetworkSettings") or {}
    labels = config.get("Labels") or {}
    kept = {name: row.get(name) for name in TOP}
    kept["Args"] = redact_words(row.get("Args"))
    kept["Config"] = {name: worded(config.get(name)) for name in CONFIG}
    kept["Config"]["Healthcheck"] = checked(config.get("Healthcheck"))
    kept["Config"]["Env"] = [redact(item) for item in config.get("Env") or [] if told(item)]
    kept["Config"]["Labels"] = {k: v for k, v in labels.items() if k.startswith(("com.docker.compose.", "reaper_ops"))}
    kept["HostConfig"] = {name: host.get(name) for name in HOST_CONFIG}
    kept["Mounts"] = [{name: mount.get(name) for name in MOUNT} for mount in row.get("Mounts") or []]
    kept["NetworkSettings"] = {
        "Ports": networks.get("Ports"),
        "Networks": {
            name: {"IPAddress": (one or {}).get("IPAddress")} for name, one in (networks.get("Networks") or {}).items()
        },
    }
    kept["State"] = dict(state, Health=health(state.get("Health")))
    return kept


def worded(value):
    return redact_words(value) if isinstance(value, list) else value


def checked(found):
    return dict(found, Test=worded(found.get("Test"))) if isinstance(found, dict) else found


def told(item):
    """Variables of Ollama and of proxies, and any that name an Ollama server."""
    name, _, value = item.partition("=")
    return bool(SAFE_ENV.match(name) or TALKS.search(name) or TALKS.search(value))


def health(found):
    if not found:
        return None
    log = [dict(one, Output=redact(str(one.get("Output", "")))[:500]) for one in (found.get("Log") or [])[-3:]]
    return dict(found, Log=log)
