"""Text that a person copied out of a terminal, a ticket or a chat: made plain, without guessing at what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import groupby

ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
FENCE = re.compile(r"^[ \t]{0,8}(?:```[\w+-]{0,32}|~~~\w{0,32})\s{0,8}$")
TOOLS = (
    r"(?:sudo|journalctl|systemctl|docker|docker-compose|podman|kubectl|ss|netstat|lsof|ip|ps|cat|curl|wget|dmesg|mount"
    r"|grep|nft|iptables|ufw|free|swapon|ls|stat|df|nvidia-smi|rocm-smi|rocminfo|lspci|lsmod|env|printenv|ollama|id)"
)
PROMPT = re.compile(
    r"^(?:\(\S{1,64}\) )?(?:"
    r"\[?[\w.-]{1,64}@[\w.-]{1,64}[^\n$#%>]{0,256}[$#%>] ?(?P<named>\S.*)?"
    r"|(?:sh|bash)-[0-9.]{1,8}[$#] ?(?P<shell>\S.*)?"
    r"|(?:PS )?[A-Za-z]:\\[^>\n]{0,256}> ?(?P<windows>\S.*)?"
    r"|PS /[^>\n]{0,256}> ?(?P<power>\S.*)?"
    r"|[$%❯➜] {1,4}(?P<bare>\S.*)"
    r"|(?:[/~][\w./-]{0,128} )?# ?(?P<root>" + TOOLS + r"\b.*)"
    r")$"
)
MARKED = re.compile("[$#%>❯➜]")
TYPED = re.compile(
    r"^(?!(?:sudo )?ollama (?!run|pull|list|ls|ps|serve|show|stop|create|cp|rm|push|-|help|signin))(?:sudo )?(?:"
    r"journalctl|systemctl|docker|docker-compose|podman|kubectl|ss|netstat|lsof|ip|ps|dmesg|iptables|ufw|nft|swapon|ls|df"
    r"|free|nvidia-smi|rocm-smi|rocminfo|lspci|lsmod|printenv|env|ollama|curl|cat"
    r")(?: {1,4}[-/\w|.'\"][^\n]{0,500})?$"
)
"""A command that was pasted without its prompt."""
PLAINLY = re.compile(
    r"^(?:sudo )?(?:journalctl|systemctl|docker|podman|kubectl|nvidia-smi|rocm-smi|ss|netstat|dmesg|curl|ls|ollama) "
    r"(?:-|logs?\b|ps\b|run\b|exec\b|info\b|inspect\b|status\b|show\b|cat\b|list\b|pull\b|serve\b|get\b|describe\b"
    r"|https?:|localhost|/)|^nvidia-smi$"
)
"""One of which there is no doubt, so that it begins something new in the middle of a text, too."""
REQUEST = re.compile(r"^>{1,3} ?(?:GET|POST|HEAD|PUT|DELETE|OPTIONS|PATCH) \S{1,2000} HTTP/")
TAGS = re.compile(r"^\s{0,16}(?:</?(?:details|summary|pre|code|p|br|div|span|b|kbd)\b[^<>]{0,200}>\s{0,16})+")
LAST_TAGS = re.compile(r"(?:</(?:details|summary|pre|code|p|div|span|b|kbd)>\s{0,16}){1,8}$")
LONGEST = 4000
"""Characters of a line: MAX_LINE of module_utils/reaper_host.py."""


def cleaned(text: str) -> str:
    """Without colors, carriage returns, byte order mark, code fences and the lines of a shell's prompt."""
    lines = [line for line in plain(text).split("\n") if not (FENCE.match(line) or PROMPT.match(line))]
    return "\n".join(lines)


def plain(text: str) -> str:
    """Without colors, carriage returns and byte order mark."""
    bare = ESCAPES.sub("", text.removeprefix("\ufeff")) if "\x1b" in text else text.removeprefix("\ufeff")
    return bare.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\n")


def unquoted(lines: list[str]) -> Iterator[str]:
    """Without the marks of a quotation and the tags of a ticket; what curl sent keeps its mark."""
    for quoted, rows in groupby(lines, lambda line: line.startswith(">")):
        group = list(rows)
        if quoted and not any(REQUEST.match(line) for line in group):
            yield from (re.sub(r"^(?:> ?){1,4}(?!>)", "", line) for line in group)
        else:
            yield from (_untagged(line) for line in group)


def _untagged(line: str) -> str:
    if "`" in line and not line.strip("`").count("`") and not line.startswith("```"):
        line = line.strip("`")
    if "<" not in line or line.lstrip()[:1] not in "<":
        return line
    bare = TAGS.sub("", line[:LONGEST])
    return LAST_TAGS.sub("", bare) if bare != line[:LONGEST] else line


def command_of(line: str) -> str | None:
    """What stands after a prompt, empty after one without a command; None for a line that is no prompt."""
    found = PROMPT.match(line[:LONGEST]) if MARKED.search(line[:300]) else None
    if found is None:
        return None
    return next((text.strip() for text in found.groupdict().values() if text), "")


def cut(text: str) -> str:
    """Of a long line the beginning, as what a host reads is cut there."""
    return text if len(text) <= LONGEST else "\n".join(line[:LONGEST] for line in text.split("\n"))


def document(text: str) -> object:
    """A JSON value, or None."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
