"""Who listens: `ss`, `netstat`, `lsof`, as rows of `ss -ltnp`; processes, as `ps` prints them."""

from __future__ import annotations

import re

from reaper_ops.core.doctor.paste.block import Block, Kind
from reaper_ops.core.doctor.paste.evidence import PastedEvidence

ID = "listeners"
SS = re.compile(
    r"(?:(?:tcp|udp|tcp6)\s{1,8})?LISTEN\s{1,12}[0-9]{1,7}\s{1,12}[0-9]{1,7}\s{1,80}(\S{1,90}:[0-9*]{1,5})(\s.{0,2000})?$"
)
NETSTAT = re.compile(
    r"tcp6?\s{1,12}[0-9]{1,9}\s{1,12}[0-9]{1,9}\s{1,12}(\S{3,60}[:.][0-9]{1,5})\s{1,40}\S{3,60}\s{1,40}LISTEN\b"
)
OWNER = re.compile(r"\s([0-9]{1,9})/([\w.-]{1,64})")
LSOF = re.compile(
    r"(\S{1,32})\s{1,20}([0-9]{1,9})(?:\s{1,8}[0-9]{1,9})?\s{1,16}(\S{1,32})\s{1,16}[0-9]{1,6}[rwu]?\w?\s{1,16}IPv([46])\s.{1,80}?\sTCP"
    r" (\S{1,255}):(\S{1,32}) \(LISTEN\)"
)
NAMES = {"localhost": "127.0.0.1", "ip6-localhost": "::1", "http-alt": "8080"}


def sockets(block: Block, into: PastedEvidence) -> bool:
    rows = []
    for line in block.lines:
        text = line.text.strip()
        ss, netstat, lsof = SS.match(text), NETSTAT.match(text), LSOF.match(text)
        if ss:
            rows.append(text[text.index("LISTEN") :])
        elif netstat:
            address, _, port = (
                netstat[1].replace(".", ":").rpartition(":") if ":" not in netstat[1] else netstat[1].rpartition(":")
            )
            held = OWNER.search(text)
            owner = f' users:(("{held[2]}",pid={held[1]},fd=0))' if held else ""
            rows.append(f"LISTEN 0 0 {_bracketed(address)}:{port} 0.0.0.0:*{owner}")
        elif lsof:
            host, port = NAMES.get(lsof[5], lsof[5]), NAMES.get(lsof[6], lsof[6])
            host = "::1" if lsof[5] == "localhost" and lsof[4] == "6" else host
            rows.append(f'LISTEN 0 0 {_bracketed(host)}:{port} 0.0.0.0:* users:(("{lsof[1]}",pid={lsof[2]},fd=0))')
    if rows or block.command:
        into.add(ID, "\n".join([*([] if ID in into.texts else ["State  Recv-Q Send-Q"]), *rows]))
    return bool(rows)


def _bracketed(address: str) -> str:
    plain = address.strip("[]")
    return f"[{plain}]" if ":" in plain else plain


def processes(block: Block, into: PastedEvidence) -> bool:
    """Where the heading was cut away by `grep`, it is that of `ps aux` or `ps -ef`."""
    lines = [line.text for line in block.lines if line.text.strip()]
    if lines and "PID" not in lines[0].split():
        aux = re.match(r"\S{1,32}\s{1,20}[0-9]{1,9}\s{1,8}[0-9.]{1,5}\s{1,8}[0-9.]{1,5}\s", lines[0])
        heading = (
            "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND" if aux else "UID PID PPID C STIME TTY TIME CMD"
        )
        lines.insert(0, heading)
    into.add("processes", "\n".join(lines))
    return len(lines) > 1


KINDS = (
    Kind(
        "sockets",
        sockets,
        re.compile(
            r"(?:Netid\s{1,8})?State\s{1,8}Recv-Q|Proto Recv-Q|Active Internet connections"
            r"|COMMAND\s{1,8}PID\s.{0,40}\bFD\b|\s{0,8}(?:"
            + SS.pattern
            + "|"
            + NETSTAT.pattern
            + "|"
            + LSOF.pattern
            + ")"
        ),
        re.compile(
            r"(?:tcp|udp|LISTEN|ESTAB|UNCONN|TIME-WAIT|Proto|Active)\b|\S{1,32}\s{1,20}\d{1,9}\s.{0,60}IPv[46]\s"
        ),
        re.compile(r"(?:^|[\s|;])(?:ss|netstat|lsof)\s+-?\S"),
        whole=True,
    ),
    Kind(
        "processes",
        processes,
        re.compile(
            r"(?:USER|UID)\s{1,20}PID\s|\s{0,6}PID\s{1,4}(?:PPID|TTY|USER|COMMAND|CMD)\b"
            r"|[\w+-]{1,32}\s{1,20}[0-9]{1,9}\s{1,8}[0-9.]{1,5}\s{1,8}[0-9.]{1,5}\s{1,12}[0-9]{1,12}\s{1,12}[0-9]{1,12}\s"
        ),
        re.compile(r"[\w+-]{1,32}\s{1,20}[0-9]{1,9}\s|\s{0,8}[0-9]{1,9}\s"),
        re.compile(r"(?:^|[\s|;])ps\s+-?[a-zA-Z]"),
        whole=True,
    ),
)
