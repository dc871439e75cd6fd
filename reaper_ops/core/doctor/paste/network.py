"""The host's own addresses, and what its resolver says."""

from __future__ import annotations

import re

from reaper_ops.core.doctor.paste.block import Block, Kind
from reaper_ops.core.doctor.paste.evidence import PastedEvidence

LINK = re.compile(r"\A[0-9]{1,4}: [\w.@:-]{1,40}: <")
FOUR = re.compile(r"\A\s{1,16}inet (?:addr:)?([0-9.]{7,15})")
SIX = re.compile(r"\A\s{1,16}inet6 ([0-9a-f:]{2,45})/")
LOOKED = re.compile(
    r"\A(?:Name:\s{1,8}(\S{1,255})|Address(?: [0-9])?:\s{1,8}([0-9a-fA-F.:]{3,45})|(\S{1,255})"
    r" has (?:IPv6 )?address ([0-9a-f.:]{3,45}))$"
)
FAILED = re.compile(
    r"\*\* server can't find (\S{1,255}?): (\w{2,16})|(?:getent|ping6?): (\S{1,255}): (.{3,80})"
    r"|Host (\S{1,255}) not found: (.{3,40})"
)


def addresses(block: Block, into: PastedEvidence) -> bool:
    four = [found[1] for line in block.lines if (found := FOUR.match(line.text))]
    if four:
        trie = "".join(f"  |-- {address}\n     /32 host LOCAL\n" for address in four)
        into.row("addresses", {"path": "/proc/net/fib_trie", "content": trie})
    return bool(four) or any(SIX.match(line.text) for line in block.lines)


def resolved(block: Block, into: PastedEvidence) -> bool:
    """nslookup and host: the server's own address stands before the first name, and is none of its answers."""
    name, found = "", 0
    for line in block.lines:
        text = line.text.strip()
        answer, failed = LOOKED.match(text), FAILED.search(text)
        if failed:
            host, why = next((a, b) for a, b in zip(failed.groups()[::2], failed.groups()[1::2], strict=True) if a)
            into.add("resolved", f"{host.rstrip(':')}: {why}")
            found += 1
        elif answer and answer[1]:
            name = answer[1]
        elif answer and (answer[4] or (answer[2] and name)):
            into.add("resolved", f"{answer[3] or name} {answer[4] or answer[2]}")
            found += 1
    return found > 0


KINDS = (
    Kind(
        "addresses",
        addresses,
        re.compile(r"[0-9]{1,4}: [\w.@:-]{1,40}: <|[\w.-]{1,20}: flags=[0-9]{1,6}<"),
        re.compile(r"\A(?:\s{1,16}\S|[0-9]{1,4}: |[\w.-]{1,20}: flags=|\s*$)"),
        re.compile(r"(?:^|[\s|;])ip (?:-\w{1,6} )?(?:a|addr|address)\b|(?:^|[\s|;])ifconfig\b"),
        whole=True,
    ),
    Kind(
        "name look-up",
        resolved,
        re.compile(r"\*\* server can't find |\S{1,255} has (?:IPv6 )?address |Host \S{1,255} not found: "),
        re.compile(r"\A(?:Name:|Address|Server:|Non-authoritative|\*\* |;;|\S{1,255} has )"),
        re.compile(r"(?:^|[\s|;])(?:nslookup|host|getent hosts)\s"),
        whole=True,
    ),
)
