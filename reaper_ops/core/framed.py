"""Shell commands whose output is found again among what sudo, login files and terminals print around it."""

from __future__ import annotations

from collections.abc import Sequence

MARK = "reaper_ops-part:"


def command(token: str, parts: Sequence[str]) -> str:
    """Shell text that runs the parts in order, each after a mark; its exit code is that of the last part.

    The shell puts each mark together, so a terminal or a trace that shows the command again shows no mark.
    """
    mark = f"printf '\\n%s%s\\n' {MARK} {token}"
    lines = [f"{mark}; {{ {part}\n}}" for part in parts]
    return "\n".join([*lines, f"rc=$?; {mark}; exit $rc"])


def parts(token: str, output: str, count: int) -> tuple[str, ...]:
    """What each of the `count` parts printed; empty when the output is not whole.

    A terminal turns each end of line into carriage return and line feed; those are taken back.
    """
    found: list[list[str]] = []
    for line in output.split("\n"):
        if line.rstrip("\r") == MARK + token:
            found.append([])
        elif found:
            found[-1].append(line.rstrip("\r"))
    if len(found) != count + 1:
        return ()
    return tuple("\n".join(lines).strip("\n") for lines in found[:-1])
