# GNU General Public License v3.0 or later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits until no other program installs packages: reports which one does, and gives up at a deadline."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.reaper_ops.ollama.plugins.action.wait_api import tell

MODULE = "reaper_ops.ollama.package_lock"
DEFAULT = 600.0
EVERY = 5.0
MEND = "as root on the host: `dpkg --configure -a`, then run again"
LATER = "run again once it has ended"
SEE = "`ps -fp {0}` on the host shows what it is; "


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = dict(self._task.args)
        host, limit = str((task_vars or {}).get("inventory_hostname", "")), float(args.pop("timeout", DEFAULT))
        begun = time.monotonic()
        while True:
            look = self._execute_module(MODULE, args, task_vars=task_vars)
            if look.get("failed") or look.get("unreachable") or "holder" not in look:
                return {**result, **look}
            if look["interrupted"]:
                problem = "dpkg was interrupted on this host and left packages half configured"
                return {**result, "failed": True, "msg": problem, "next_step": MEND}
            waited = time.monotonic() - begun
            if not look["holder"]:
                return {**result, "changed": False}
            if waited >= limit:
                problem = f"{look['holder']} has held the lock of apt for {limit:.0f} s"
                return {**result, "failed": True, "msg": problem, "next_step": later(look)}
            tell(host, f"waiting for {look['holder']}, which holds apt: {waited:.0f} of {limit:.0f} s")
            time.sleep(EVERY)


def later(look: dict[str, Any]) -> str:
    """Omits the pid when the holder is outside this container."""
    return SEE.format(look["pid"]) + LATER if look.get("pid") else LATER
