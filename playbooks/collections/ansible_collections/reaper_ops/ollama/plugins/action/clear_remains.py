# GNU General Public License v3.0 or later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes away what Ansible left on a host when its controller was killed: files on their way to their place.

As the login user, whose they are, in that user's own directory; root follows nothing there.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
from collections.abc import Callable, Iterable
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from reaper_ops.core import framed

TOP = "~/.ansible/tmp"
OURS = re.compile(r"^~/\.ansible/tmp/(reaper_ops-[0-9a-f]{12})$")
LEFT = re.compile(r"^(reaper_ops-[0-9a-f]{12})/ansible-tmp-[0-9.]+-([0-9]+)-[0-9]+$")
"""The number is the process that made it."""
HOURS = 24
"""Of another controller nobody can tell whether it lives; one that does has finished with a file by then."""
LIST = f"cd {TOP} 2>/dev/null && ls -d reaper_ops-*/ansible-tmp-* 2>/dev/null"
OLD = (
    f"cd {TOP} 2>/dev/null && find . -mindepth 2 -maxdepth 2 -path './reaper_ops-*/*' -mmin +{60 * HOURS} 2>/dev/null"
    " | sed 's,^[.]/,,'"
)
EMPTY = (
    f"cd {TOP} 2>/dev/null && find . -mindepth 1 -maxdepth 1 -name 'reaper_ops-*' -empty -mmin +{60 * HOURS}"
    " -exec rmdir {} + 2>/dev/null"
)


class ActionModule(ActionBase):
    """`all: true`: nobody comes after this, so the empty directory goes too."""

    _supports_check_mode = True
    _VALID_ARGS = frozenset({"all"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = {**super().run(tmp, task_vars), "changed": False, "removed": []}
        ours = OURS.match(str(self.get_shell_option("remote_tmp", "")))
        if ours is None or self._task.check_mode or getattr(self._connection, "_remote_is_local", False):
            return result
        listed, old, _ = self._asked(LIST, OLD, EMPTY) or ("", "", "")
        gone = abandoned(listed.split(), old.split(), ours[1], lives)
        if gone:
            self._asked(f"cd {TOP} && rm -rf -- {' '.join(map(shlex.quote, gone))}")
        if boolean(self._task.args.get("all", False)):
            for sudoable in (False, True):
                self._asked(f"rmdir {TOP}/{ours[1]} 2>/dev/null", sudoable=sudoable)
        return {**result, "removed": gone}

    def _asked(self, *parts: str, sudoable: bool = False) -> tuple[str, ...]:
        token = secrets.token_hex(8)
        answer = self._low_level_execute_command(framed.command(token, parts), sudoable=sudoable)
        return framed.parts(token, str(answer.get("stdout", "")), len(parts))


def abandoned(listed: Iterable[str], old: Iterable[str], ours: str, lives: Callable[[int], bool]) -> list[str]:
    """Those that a process of this machine made that has ended, and those of others that are old."""
    found = filter(None, map(LEFT.match, listed))
    dead = [one[0] for one in found if one[1] == ours and not lives(int(one[2]))]
    return sorted({*dead, *(name for name in old if LEFT.match(name) and not name.startswith(f"{ours}/"))})


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OverflowError, PermissionError):
        return True
    return True
