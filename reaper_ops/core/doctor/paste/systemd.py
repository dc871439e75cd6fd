"""What systemd says of a unit: status, properties, the files it is made of."""

from __future__ import annotations

import re

from reaper_ops.core.doctor.paste import clients
from reaper_ops.core.doctor.paste.block import Block, Kind
from reaper_ops.core.doctor.paste.evidence import LOG, PastedEvidence
from reaper_ops.core.doctor.paste.line import SYSLOG

SECTION = re.compile(r"\[(?:[Uu]nit|[Ss]ervice|[Ii]nstall|Socket|Container)\]\s*$")
OURS = re.compile(r"(?i)ollama")
LOADED = re.compile(r"\s{0,12}Loaded: (\S{1,20})(?: \((\S{0,256}?);(?: (\S{1,32});)?)?")
ACTIVE = re.compile(r"\s{0,12}Active: (\S{1,20})(?: \(([\w-]{1,32})\))?(?: \(Result: ([\w-]{1,32})\))?")
EXITED = re.compile(
    r"\A(?:\s{0,12}(?:Main PID|Process): ([0-9]{1,9}) .{0,512}?\(?code=(\w{1,16})(?:, (?:status"
    r"|signal)=(\w{1,12})(?:/(\w{1,32}))?)?)"
)
RUNNING = re.compile(r"\s{0,12}Main PID: ([0-9]{1,9}) \(([\w.-]{1,32})\)")
SETTING = re.compile(r"[A-Z][A-Za-z]{1,40}=")
BY_SYSTEMD = re.compile(
    r"\A\s{0,12}(?:Main PID|Process): [0-9]{1,9} .{0,512}?\(code=exited, status=2[0-4][0-9]/[A-Z_]{2,40}\)"
)
"""Exit codes by which systemd says at which step it could not start the program (systemd.exec(5))."""
CODES = {"exited": "1", "killed": "2", "dumped": "3"}
SHOWN = (
    r"(?:LoadState|ActiveState|SubState|Result|UnitFileState|NeedDaemonReload|FragmentPath|DropInPaths|MainPID|NRestarts"
    r"|ExecMainStatus|ExecMainCode|MemoryMax|MemoryHigh|ControlGroup|InvocationID|Id|Names|Type|Restart|NotifyAccess|Environment"
    r"|EnvironmentFiles|User|OOMPolicy)="
)


def status(block: Block, into: PastedEvidence) -> bool:
    found: dict[str, str] = {}
    for line in block.lines:
        _state(line.text, found)
        if BY_SYSTEMD.search(line.text):
            into.say(LOG, line)
        if SYSLOG.fullmatch(line.text) or (line.ident and line.ident != "kernel"):
            into.say(LOG, line)
            into.error(clients.error(line.message), block, line)
    if "changed on disk" in block.text:
        found["NeedDaemonReload"] = "yes"
    if not OURS.search(block.text):
        return True
    into.runtimes.append("systemd")
    if re.search(r"Unit \S{1,64} could not be found", block.text):
        found |= {"LoadState": "not-found", "ActiveState": "inactive"}
    into.add("unit", "".join(f"{name}={value}\n" for name, value in found.items()))
    return bool(found)


def _state(text: str, found: dict[str, str]) -> None:
    loaded, active, exited, running = (form.match(text) for form in (LOADED, ACTIVE, EXITED, RUNNING))
    if loaded:
        found["LoadState"] = loaded[1]
        found["FragmentPath"], found["UnitFileState"] = loaded[2] or "", loaded[3] or ""
    elif active:
        found["ActiveState"], found["SubState"] = active[1], active[2] or ("failed" if active[1] == "failed" else "")
        found["Result"] = active[3] or ("" if active[1] == "failed" else "success")
    elif exited and (exited[3] or "") != "0":
        found["ExecMainCode"] = CODES.get(exited[2], "")
        found["ExecMainStatus"] = exited[3] or ""
    elif running:
        found["MainPID"] = running[1]


def show(block: Block, into: PastedEvidence) -> bool:
    rows = [line.text.strip() for line in block.lines if re.match(r"\w{1,64}=", line.text.strip())]
    names = {row.partition("=")[0] for row in rows}
    if "Id=ollama.service" not in rows and not OURS.search(block.text + block.command) and "Id" in names:
        return True
    id_ = "unit-again" if "unit" in into.texts and "LoadState" in "".join(into.texts["unit"]) else "unit"
    state = [] if "LoadState" in names else ["LoadState=loaded"]
    into.add(id_, "\n".join([*state, *rows]))
    into.runtimes.append("systemd")
    return bool(rows)


def unit_file(block: Block, into: PastedEvidence) -> bool:
    named = re.search(r"(/[\w./@-]{1,200}\.(?:service|conf|container))", block.command)
    head = f"# {named[1]}\n" if named and not block.text.startswith("# /") else ""
    if named and not OURS.search(named[1]) and not OURS.search(block.text):
        return True
    into.add("unit-text", head + block.text)
    into.runtimes.append("systemd")
    return bool(SECTION.search(block.text) or SETTING.search(block.text))


KINDS = (
    Kind(
        "systemctl status",
        status,
        re.compile(
            r"(?:[●○×*↻] )?\S{1,64}\.service - |\s{0,12}(?:Process|Main PID): [0-9]{1,9} |\s{0,12}(?:Loaded"
            r"|Active): (?:loaded|active|failed|inactive|activating|not-found|masked|error)\b"
            r"|Unit \S{1,64} could not be found"
        ),
        re.compile(
            r"\A(?:\s{0,16}(?:Loaded|Active|Drop-In|Docs|Process|Main PID|Tasks|Memory|CPU|CGroup|Status|IP|IO"
            r"|Invocation|Triggered\w*"
            r"|TriggeredBy|Duration|FD Store|Since|Error)\b ?.{0,40}:|\s{6,30}\S|\s*$"
            r"|[^\W\d_]{3,6} \d\d \d\d:|Warning: (?:The unit file|Journal)|Hint: )"
        ),
        re.compile(r"systemctl .{0,60}\bstatus\b|service ollama status"),
        whole=True,
    ),
    Kind(
        "systemctl show",
        show,
        re.compile(SHOWN),
        re.compile(r"\w{1,64}="),
        re.compile(r"systemctl .{0,60}\bshow\b"),
        whole=True,
    ),
    Kind(
        "unit file",
        unit_file,
        re.compile(r"# /\S{1,200}\.(?:service|conf|container)\s*$|" + SECTION.pattern),
        re.compile(r"\A(?:\[[A-Za-z][A-Za-z-]{2,20}\]\s*$|[A-Za-z]\w{1,40} ?=|[#;]|\s{1,16}\S|\s*$)"),
        re.compile(
            r"systemctl .{0,60}\bcat\b|(?:cat|more|less|sudo cat|nano|vi|vim) .{0,80}(?:\.service\b|\.d/"
            r"|override\.conf|\.container\b)"
        ),
        whole=True,
    ),
)
