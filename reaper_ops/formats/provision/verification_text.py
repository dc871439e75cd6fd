"""The outcome of `verify` for people: each host with each check."""

from __future__ import annotations

from collections import Counter

from reaper_ops.core.provision.verification import Verification, VerifyCheck
from reaper_ops.core.values import counted
from reaper_ops.formats.health.as_text import ascii_safe, colours

WORDS = {
    "passed": ("pass", "good"),
    "failed": ("FAIL", "error"),
    "skipped": ("skip", "quiet"),
    "unknown": ("????", "unknown"),
}


def render(found: Verification) -> str:
    lines = [line for host in found.hosts for line in _host(found, host)]
    counts = Counter(check.outcome for check in found.checks)
    listed = ", ".join(f"{counts[outcome]} {outcome}" for outcome in WORDS if counts[outcome])
    hosts = counted(len(found.hosts), "host")
    return "\n".join([*lines, "", f"{hosts}: {listed or 'nothing checked'} -> {found.status} (exit {found.exit_code})"])


def _host(found: Verification, host: str) -> list[str]:
    checks = found.of(host)
    unknown = {check.detail for check in checks if check.outcome == "unknown"}
    if len(unknown) == 1 and all(check.outcome == "unknown" for check in checks):
        return [ascii_safe(host), f"  {_word('unknown')}  {ascii_safe(' '.join(unknown.pop().split()))}"]
    return [ascii_safe(host), *(line for check in checks for line in _check(check))]


def _check(check: VerifyCheck) -> list[str]:
    lines = [f"  {_word(check.outcome)}  {ascii_safe(check.title)}"]
    if check.detail and check.outcome != "passed":
        lines.append(f"        {ascii_safe(' '.join(check.detail.split()))}")
    return lines


def _word(outcome: str) -> str:
    word, kind = WORDS[outcome]
    return colours()(word, kind)
