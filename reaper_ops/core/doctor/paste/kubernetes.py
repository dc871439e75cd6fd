"""Kubernetes: `kubectl describe pod`, and rows of `kubectl get pods`, as containers."""

from __future__ import annotations

import re
from typing import Any

from reaper_ops.core.doctor.paste.block import Block, Kind
from reaper_ops.core.doctor.paste.evidence import LOG, PastedEvidence

ITEM = re.compile(r"\A( {0,12})([A-Z][\w /-]{1,40}):(?: {1,40}(.{0,500}))?$")
EVENT = re.compile(r"\A {0,4}(Warning|Normal) {2,12}(\w{3,40}) {1,40}.{0,80}? {2,40}(\S.{0,1000})$")
POD = re.compile(
    r"\A(?:\S{1,63} {1,40})?(\S{1,253}) {1,40}([0-9]{1,3})/([0-9]{1,3}) {1,12}(\w[\w:]{2,40})"
    r" {1,12}([0-9]{1,6})\b"
)
LIMIT = re.compile(r"\A {4,16}memory: {1,12}([0-9]{1,12})([KMGT]i?)?")
UNITS = {
    "": 1,
    "K": 1000,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
}


def described(block: Block, into: PastedEvidence) -> bool:
    state: dict[str, Any] = {}
    row: dict[str, Any] = {"Id": "", "Name": "", "Config": {}, "State": state, "HostConfig": {}}
    section = ""
    for line in block.lines:
        item, event, limit = ITEM.match(line.text), EVENT.match(line.text), LIMIT.match(line.text)
        if event and event[1] == "Warning":
            into.add(LOG, f"kubelet: {event[2]}: {event[3]}")
        elif limit and section == "Limits":
            row["HostConfig"]["Memory"] = int(limit[1]) * UNITS[limit[2] or ""]
        elif item:
            section = item[2] if not item[3] else section
            _take(item[2], (item[3] or "").strip(), row, state)
    into.row("containers", row)
    into.tool = "kubectl"
    into.runtimes.append("docker")
    return bool(row["Name"] or state)


def _take(name: str, said: str, row: dict[str, Any], state: dict[str, Any]) -> None:
    if name == "Name" and not row["Name"]:
        row["Name"] = said
    elif name == "Image" and said:
        row["Config"].setdefault("Image", said)
    elif name in {"State", "Last State"} and said:
        state.setdefault(
            "Status", {"Running": "running", "Waiting": "restarting", "Terminated": "exited"}.get(said, "")
        )
    elif name == "Reason" and said == "OOMKilled":
        state["OOMKilled"] = True
    elif name == "Exit Code" and said.isdigit():
        state["ExitCode"] = int(said[:4])
    elif name == "Restart Count" and said.isdigit():
        row["RestartCount"] = int(said[:9])


def pods(block: Block, into: PastedEvidence) -> bool:
    found = 0
    for line in block.lines:
        pod = POD.match(line.text)
        if pod and pod[1] != "NAME":
            status = {"Running": "running", "Completed": "exited", "Pending": "created"}.get(pod[4], "restarting")
            state = {"Status": status, "OOMKilled": pod[4] == "OOMKilled", "Error": pod[4]}
            row = {"Id": "", "Name": pod[1], "Config": {"Image": pod[1]}, "State": state, "RestartCount": int(pod[5])}
            into.row("containers", row)
            found += 1
    into.tool = "kubectl"
    return found > 0


KINDS = (
    Kind(
        "kubectl describe",
        described,
        re.compile(r"Name: {6,40}\S"),
        re.compile(r"\A(?:[A-Z][\w -]{1,40}:| {1,40}\S|\s*$)"),
        re.compile(r"\bkubectl\b.{0,80}\bdescribe\b"),
        whole=True,
    ),
    Kind(
        "kubectl get pods",
        pods,
        re.compile(r"(?:NAMESPACE {1,40})?NAME {1,80}READY {1,12}STATUS {1,40}RESTARTS"),
        re.compile(r"\A\S{1,253} {1,40}.{0,80}?[0-9]{1,3}/[0-9]{1,3} "),
        re.compile(r"\bkubectl\b.{0,80}\bget (?:pods?|po|all)\b"),
        whole=True,
    ),
)
