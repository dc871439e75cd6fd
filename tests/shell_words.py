"""What bash makes of commands that are printed for people: no program is run, each word that one would get is told.

bash looks for programs in an empty directory and hands the words of each to `command_not_found_handle`; builtins that
would act are functions that do the same.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PAYLOADS = (
    "$(zqrun)`zqrun`;zqrun|zqrun&&zqrun>zqfile${ZQVAR}zqglo?",
    "'$(zqrun)`zqrun`;zqrun|zqrun&&zqrun>zqfile$ZQVAR",
    '"$(zqrun)`zqrun`;zqrun|zqrun&&zqrun>zqfile$ZQVAR',
    " zqword; zqrun & zqrun || zqrun #",
    "'; zqrun; echo '",
    '"; zqrun; echo "',
    "/../../zqup;zqrun",
    " -zqoption",
    "{zqone,zqtwo}<(zqrun)",
    "\nzqrun\n",
    "\\",
)
"""What would run `zqrun`, write `zqfile`, be split, be expanded or take the next sign with it."""
TOLD = ["zqrun", "zqfile", "zqword", "zqoption", "zqglob", "zqexpanded"]
_BUILTINS = "kill echo printf command cd test eval exec source read export unset ulimit trap wait exit type"
_PRELUDE = """
command_not_found_handle() { local IFS=$'\\x1f'; builtin printf '%d\\x1f%s\\0' "$AT" "$*" >&9; }
""" + "".join(f'{name}() {{ command_not_found_handle {name} "$@"; }}\n' for name in _BUILTINS.split())
_LOOP = """
AT=-1 FILES=0
while IFS= builtin read -r -d '' line; do AT=$((AT + 1)); (builtin eval "$line") </dev/null >/dev/null
if [ $? = 2 ]; then command_not_found_handle zq-syntax; fi
set -- zqfile*; if [ "$1" = zqfile ] && ! ((FILES++)); then command_not_found_handle zq-file; fi; done
"""


@dataclass(frozen=True)
class Read:
    """programs: the words of each program that a command would run, in no order; faults: what bash complains of."""

    command: str
    programs: tuple[tuple[str, ...], ...]


def read(commands: Iterable[str]) -> dict[str, Read]:
    """As nobody where this is root, in a directory of its own, with nothing in PATH."""
    wanted = list(dict.fromkeys(commands))
    with tempfile.TemporaryDirectory() as place:
        nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        if nobody:
            os.chown(place, 65534, 65534)
        (Path(place) / "zqglob").touch()
        told = Path(place) / "told"
        told.touch(0o666)
        told.chmod(0o666)
        subprocess.run(
            [shutil.which("bash") or "bash", "--noprofile", "--norc", "-c", f"exec 9>>told\n{_PRELUDE}{_LOOP}"],
            input="".join(f"{one}\0" for one in wanted),
            env={"PATH": "/nonexistent", "ZQVAR": "zqexpanded", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"},
            cwd=place,
            text=True,
            check=True,
            capture_output=True,
            **nobody,  # type: ignore[call-overload]
        )
        rows = [row.split("\x1f") for row in told.read_text().split("\0") if row]
    found: dict[int, list[tuple[str, ...]]] = {}
    for at, *words in rows:
        found.setdefault(int(at), []).append(tuple(words))
    return {one: Read(one, tuple(sorted(found.get(at, [])))) for at, one in enumerate(wanted)}


def faults(found: Read) -> list[str]:
    """Where a payload did something else than to stand in a word."""
    said = [f"{words[0]} would run" for words in found.programs if re.search(r"zq|touch", words[0])]
    for words in found.programs:
        for word in words[1:]:
            if word in TOLD or word.startswith("-zq") or "zqexpanded" in word or "zqglob" in word:
                said.append(f"{word!r} is a word of {words[0]}")
            if ("zqone" in word) != ("zqtwo" in word):
                said.append(f"{word!r} was expanded")
            if "zqup" in word and word.startswith("/") and words[0] == "sudo":
                said.append(f"{word!r} leads out of its directory")
    return said
