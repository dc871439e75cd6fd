"""Processes, the server's limits and cgroup, and how the machine fares: pressure, load, swapping, its processor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts.answers import Answers, Ask, number, text
from reaper_ops.core.facts.traces import Cgroup, Pressure, Running
from reaper_ops.core.inventory.settings import Settings

LATER = 1.2
UNLIMITED = 1 << 60
FLAGS = r"^(flags|Features|model name|Model|Hardware|CPU part)\s*:"
VMSTAT = r"^pswp(in|out) |^[0-9]+\.[0-9]+ [0-9]+\.[0-9]+$"
COLUMNS = {
    "PID": "pid",
    "PPID": "parent",
    "USER": "user",
    "UID": "user",
    "ELAPSED": "age",
    "S": "state",
    "STAT": "state",
    "WCHAN": "waits",
    "RSS": "rss",
    "CGROUP": "cgroup",
    "COMMAND": "command",
    "CMD": "command",
    "ARGS": "command",
}


def server(settings: Settings) -> dict[str, str]:
    """How the server is found on the host."""
    return {
        "systemd": {"unit": places.UNIT},
        "docker": {"container": places.CONTAINER},
        "process": {"pid_file": f"{places.home(settings)}/ollama.pid"},
    }[settings.ollama_runtime]


def asks(settings: Settings) -> list[Ask]:
    vmstat = {"kind": "glob", "patterns": ["/proc/uptime", "/proc/vmstat"], "content": True, "grep": VMSTAT}
    return [
        {"id": "processes", "kind": "processes"},
        {"id": "limits", "kind": "server", "what": "limits", **server(settings)},
        {"id": "server-cgroup", "kind": "server", "what": "cgroup", **server(settings)},
        {"id": "pressure", "kind": "file", "path": "/proc/pressure/memory"},
        {"id": "loadavg", "kind": "file", "path": "/proc/loadavg"},
        {"id": "cpuinfo", "kind": "file", "path": "/proc/cpuinfo", "grep": FLAGS, "max_bytes": 16384},
        {"id": "vmstat", **vmstat},
        {"id": "vmstat-again", "after": LATER, **vmstat},
    ]


def parse(answers: Answers) -> dict[str, Any]:
    flags, model = processor(answers.content("cpuinfo"))
    return {
        "processes": processes(answers.out("processes")),
        "limits": limits(answers.out("limits")),
        "cgroup": cgroup(answers.out("server-cgroup")),
        "pressure": pressure(answers.content("pressure")),
        "load": _decimal((answers.content("loadavg") or "").split(" ")[0]),
        "overcommit": number(answers.content("vm.overcommit_memory")),
        "swap_rate": swap_rate(answers),
        "cpu_flags": flags,
        "cpu_model": model,
    }


def processes(output: str | None) -> tuple[Running, ...] | None:
    """Rows of `ps` by its heading, whatever its columns; None without a heading that has PID and COMMAND."""
    lines = (output or "").splitlines()
    start = next((at for at, line in enumerate(lines) if {"PID"} < set(line.split()) & set(COLUMNS)), None)
    if start is None:
        return None
    heading = lines[start].split()
    rows = (line.split(None, len(heading) - 1) for line in lines[start + 1 :])
    found = (_running(dict(zip(heading, row, strict=True))) for row in rows if len(row) == len(heading))
    return tuple(row for row in found if row is not None)


def _running(row: dict[str, str]) -> Running | None:
    named = {COLUMNS[name]: value for name, value in row.items() if name in COLUMNS}
    pid, rss = number(named.get("pid")), number(named.get("rss"))
    if pid is None or not named.get("command"):
        return None
    return Running(
        pid=pid,
        command=named["command"].strip(),
        parent=number(named.get("parent")),
        user=_given(named.get("user")),
        age=_age(named.get("age")),
        state=named.get("state", "")[:1],
        waits_in=_given(named.get("waits")),
        rss=None if rss is None else rss << 10,
        cgroup=_group(_given(named.get("cgroup"))),
    )


def _given(value: str | None) -> str:
    return "" if value in (None, "-") else str(value)


def _group(value: str) -> str:
    """The path alone: ps prints `0::/a` or `4:memory:/a,1:name=systemd:/b`."""
    groups = re.findall(r"(?:^|,)[0-9]+:([^:]*):(/[^,]*)", value)
    by_memory = [path for names, path in groups if "memory" in names.split(",") or not names]
    return by_memory[0] if by_memory else value.replace("\\x20", " ")


def _age(value: str | None) -> int | None:
    """Seconds, from seconds or from `[[days-]hours:]minutes:seconds`."""
    match = re.fullmatch(r"(?:(?:([0-9]{1,6})-)?([0-9]{1,2}):)?([0-9]{1,2}):([0-9]{2})", value or "")
    if not match:
        return number(value)
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def limits(output: str | None) -> dict[str, str] | None:
    """Soft limits by their names in /proc/PID/limits."""
    found = dict(re.findall(r"^(Max [a-z -]+?)\s{2,}(\S+)", output or "", re.M))
    return found or None


def cgroup(output: str | None) -> Cgroup | None:
    """From `grep . FILES` of a cgroup and those above it; the strictest limit on the way counts."""
    rows = re.findall(r"^(/\S*)/([a-z0-9_.]+):(.*)$", output or "", re.M)
    if not rows:
        return None
    own = max((path for path, _, _ in rows), key=len)
    mine = [(name, value) for path, name, value in rows if path == own or path.endswith(_shape(own))]
    values: dict[str, list[str]] = {}
    for name, value in mine:
        values.setdefault(name, []).append(value)
    above = [(name, value) for _, name, value in rows]
    first, least = partial(_first, values), partial(_least, above)
    events = _events(values.get("memory.events", []) + values.get("memory.oom_control", []))
    return Cgroup(
        path=_shape(own) or "/",
        limit=least("memory.max", "memory.limit_in_bytes"),
        high=least("memory.high"),
        current=first("memory.current", "memory.usage_in_bytes"),
        peak=first("memory.peak", "memory.max_usage_in_bytes"),
        swap_limit=first("memory.swap.max", "memory.memsw.limit_in_bytes"),
        oom_kills=events.get("oom_kill"),
        high_events=events.get("high"),
        cpus=_cpus(rows),
    )


def _first(values: Mapping[str, list[str]], *names: str) -> int | None:
    """Of the first file that was there: version 2 of the hierarchy and version 1 name them differently."""
    return next((size for name in names for size in map(_size, values.get(name, ())) if size is not None), None)


def _least(rows: list[tuple[str, str]], *names: str) -> int | None:
    return min((size for name, value in rows if name in names and (size := _size(value)) is not None), default=None)


def _shape(path: str) -> str:
    """The group's own name, without where its hierarchy is mounted."""
    return re.sub(r"^/sys/fs/cgroup(?:/(?:memory|cpu|cpu,cpuacct))?(?=/|$)", "", path)


def _size(value: str) -> int | None:
    found = number(value)
    return None if found is None or found >= UNLIMITED else found


def _events(lines: list[str]) -> dict[str, int]:
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and number(pair[1]) is not None}


def _cpus(rows: list[tuple[str, str, str]]) -> float | None:
    """The smallest quota: `QUOTA PERIOD` of v2, or the two files of v1."""
    found, halves = [], {(path, name): number(value) for path, name, value in rows}
    for path, name, value in rows:
        quota, _, period = value.partition(" ")
        if name == "cpu.cfs_quota_us":
            quota, period = value, str(halves.get((path, "cpu.cfs_period_us")) or "")
        elif name != "cpu.max":
            continue
        if number(quota) and number(period):
            found.append(int(quota) / int(period))
    return min(found, default=None)


def pressure(content: str | None) -> Pressure | None:
    rows = dict(re.findall(r"^(some|full) avg10=([0-9]{1,3}\.[0-9]{1,2})", content or "", re.M))
    return Pressure(float(rows["some"]), float(rows.get("full", "0"))) if "some" in rows else None


def swap_rate(answers: Answers) -> float | None:
    """Pages per second between the two reads."""
    first, again = (_swapped(answers, id_) for id_ in ("vmstat", "vmstat-again"))
    if first is None or again is None or again[0] - first[0] < 0.2:
        return None
    return round(max(0, again[1] - first[1]) / (again[0] - first[0]), 1)


def _swapped(answers: Answers, id_: str) -> tuple[float, int] | None:
    rows = {str(row["path"]): text(row.get("content")) or "" for row in answers.matches(id_) or ()}
    at = _decimal(rows.get("/proc/uptime", "").split(" ")[0])
    pages = re.findall(r"^pswp(?:in|out) ([0-9]{1,18})$", rows.get("/proc/vmstat", ""), re.M)
    return (at, sum(map(int, pages))) if at is not None and len(pages) == 2 else None


def processor(content: str | None) -> tuple[frozenset[str] | None, str]:
    """Flags of the first core, and what the processor calls itself."""
    rows = re.findall(r"^([A-Za-z ]{1,64}?)[ \t]{0,16}:[ \t]{0,64}(.*)$", content or "", re.M)
    first: dict[str, str] = {}
    for name, value in rows:
        first.setdefault(name, value.strip())
    flags = first.get("flags", first.get("Features"))
    return None if flags is None else frozenset(flags.split()), first.get("model name", first.get("Model", ""))


def _decimal(value: str) -> float | None:
    return float(value) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", value, re.ASCII) else None
