"""Files and file systems: `ls -l`, `stat`, `id`, `df`, and the engine's own settings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from reaper_ops.core.doctor.paste.block import Block, Kind
from reaper_ops.core.doctor.paste.evidence import LOG, PastedEvidence
from reaper_ops.core.doctor.paste.host import size
from reaper_ops.core.doctor.paste.line import PastedLine

ROW = re.compile(
    r"\A([-dlbcps][rwxsStT-]{9})[.+@]?\s{1,4}[0-9]{1,6}\s{1,8}(\S{1,64})\s{1,12}(\S{1,64})\s{1,16}([0-9,.]{1,16}[KMGT]?)\s{1,4}"
    r"(?:[^\W\d_]{3,6}\.? {1,2}[0-9]{1,2} {1,2}[0-9:]{4,5}|[0-9]{1,2} [^\W\d_]{3,6} {1,2}[0-9:]{4,5}|[0-9-]{10}"
    r" [0-9:.]{5,18}(?: [+-][0-9]{4})?)"
    r" (.{1,1000}?)(?: -> (.{1,1000}))?$"
)
HEAD = re.compile(r"\A(/[^\s:]{0,512}):$")
NAMED = re.compile(r"\bls\b(?: -\w{1,12}){0,4} (/[^\s;|&]{0,512}|~[^\s;|&]{0,512})")
ID = re.compile(
    r"\Auid=([0-9]{1,10})\(([\w.-]{1,64})\) gid=([0-9]{1,10})(?:\([\w.-]{1,64}\))?(?:"
    r" groups=(\S{1,2000}))?"
)
DF = re.compile(
    r"\A(\S{1,256})\s{1,60}(?:([a-z][a-z0-9.]{1,20})\s{1,20})?([0-9.]{1,14}[KMGTP]?)\s{1,20}([0-9.]{1,14}[KMGTP]?)\s{1,20}([0-9.]{1,14}[KMGTP]?)"
    r"\s{1,20}([0-9]{1,3})%\s{1,8}(/.{0,256})$"
)
STAT = re.compile(
    r"Access: \((0[0-7]{3,4})/([-\w]{10})\)\s{1,8}Uid:"
    r" \(\s{0,8}([0-9]{1,10})/\s{0,16}(\S{1,64})\)\s{1,8}Gid: \(\s{0,8}([0-9]{1,10})/\s{0,16}(\S{1,64})\)"
)
FILE = re.compile(r"\A\s{0,4}File: [\"'‘]?(/[^\"'’\n]{0,512})")


def listed(block: Block, into: PastedEvidence) -> bool:
    """Rows with a whole path where the command or a heading says the directory."""
    named = NAMED.search(block.command)
    place, found = (named[1].rstrip("/") if named else ""), 0
    for line in block.lines:
        head, row = HEAD.match(line.text), ROW.match(line.text)
        place = head[1].rstrip("/") if head else place
        if row:
            name = row[5] if row[5].startswith("/") or not place else f"{place}/{row[5]}".removesuffix("/.") or "/"
            about = {"mode": row[1], "owner": row[2], "group": row[3], "size": size(row[4], 1), "target": row[6] or ""}
            into.row("listed", {"path": name, **about})
            if "/lib/ollama/" in name:
                into.row("libraries", {"path": name})
            found += 1
    return found > 0


def stat(block: Block, into: PastedEvidence) -> bool:
    path, access = FILE.search(block.text), STAT.search(block.text)
    if path and access:
        row = {
            "path": path[1].strip(),
            "mode": access[2],
            "owner": access[4],
            "group": access[6],
            "size": 0,
            "target": "",
        }
        into.row("listed", row)
    return bool(path and access)


def who(block: Block, into: PastedEvidence) -> bool:
    found = ID.match(block.lines[0].text)
    if found and found[2] == "ollama":
        groups = re.findall(r"\(([\w.-]{1,64})\)", found[4] or "")
        into.whole["user"] = {"exists": True, "uid": int(found[1]), "groups": groups}
    return found is not None


def room(block: Block, into: PastedEvidence) -> bool:
    unit = 1 if re.search(r"\bdf\b.{0,20} -\w{0,4}h|\bdf -h", block.command) else 1 << 10
    rows = {}
    for line in block.lines:
        found = DF.match(line.text.strip())
        if found:
            total, _, free = (size(text, unit) for text in found.groups()[2:5])
            row = {"path": found[7], "mount": found[7], "fstype": found[2] or "", "free": free, "total": total}
            rows[found[7]] = row
    if rows:
        into.whole["disks-more"] = {"paths": {**into.whole.get("disks-more", {}).get("paths", {}), **rows}}
    return bool(rows)


def is_daemon(value: object) -> bool:
    names = {"runtimes", "default-runtime", "log-driver", "data-root", "exec-opts", "dns", "storage-driver", "features"}
    return isinstance(value, Mapping) and bool(names & set(value))


def daemon(block: Block, into: PastedEvidence) -> bool:
    into.add("daemon.json", json.dumps(block.value))
    return True


def daemon_text(block: Block, into: PastedEvidence) -> bool:
    """As it stands in the file, and what keeps it from being JSON."""
    into.add("daemon.json", block.text)
    try:
        json.loads(block.text)
    except json.JSONDecodeError as error:
        said = f"/etc/docker/daemon.json: line {error.lineno}: {error.msg}"
        into.say(LOG, PastedLine(block.first, said, said))
    except RecursionError:
        return False
    return "{" in block.text


KINDS = (
    Kind("daemon.json", daemon, fits=is_daemon),
    Kind("daemon.json as text", daemon_text, command=re.compile(r"\bdaemon\.json\b"), whole=True),
    Kind(
        "files",
        listed,
        re.compile(r"total [0-9.]{1,12}[KMG]?\s*$|[-dlbcps][rwxsStT-]{9}[.+@]?\s{1,4}[0-9]{1,6}\s"),
        re.compile(r"\A(?:[-dlbcps][rwxsStT-]{9}[.+@]?\s|total |/[^\s:]{0,512}:$)"),
        re.compile(r"(?:^|[\s|;])ls\b.{0,20} -\w{0,8}l|(?:^|[\s|;])ll\b"),
        whole=True,
    ),
    Kind(
        "stat",
        stat,
        re.compile(r"\s{0,4}File: [\"'‘]?/"),
        re.compile(r"\A\s{0,4}(?:File|Size|Device|Access|Modify|Change|Birth|Context):"),
        re.compile(r"(?:^|[\s|;])stat /"),
        whole=True,
    ),
    Kind("user", who, re.compile(r"uid=[0-9]{1,10}\("), None, re.compile(r"(?:^|[\s|;])id(?: \w{1,32})?$")),
    Kind(
        "disk space",
        room,
        re.compile(r"Filesystem\s{1,60}.{0,40}\b(?:Size|1K-blocks|Type)\b"),
        re.compile(r"\A\S{1,256}\s{1,60}.{0,60}%\s{1,8}/"),
        re.compile(r"(?:^|[\s|;])df\b"),
        whole=True,
    ),
)
