# GNU General Public License v3.0 or later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for a server in short runs of the module wait_api: keeps the deadline, and reports what it waits for."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

MODULE = "reaper_ops.ollama.wait_api"
TURN = 5.0
DEFAULT = 120.0

display = Display()


def tell(host: str, text: str) -> None:
    if os.environ.get("REAPER_OPS_EVENTS") == "1":
        display.display(json.dumps({"event": "waiting", "host": host, "text": text}))
    else:
        display.display(f"{host}: {text}")


class ActionModule(ActionBase):
    """Other plugins that wait report it in the same way."""

    _supports_check_mode = True
    tell = staticmethod(tell)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = dict(self._task.args)
        host = str((task_vars or {}).get("inventory_hostname", ""))
        limit, hint = float(args.pop("timeout", DEFAULT)), str(args.pop("next_step", ""))
        begun, restarts = time.monotonic(), {}
        while True:
            left = limit - (time.monotonic() - begun)
            turn = {**args, "seconds": max(0.0, min(TURN, left)), "restarts": restarts}
            answer = self._execute_module(MODULE, turn, task_vars=task_vars)
            if answer.get("failed") or answer.get("unreachable") or "answered" not in answer:
                return {**result, **answer}
            restarts, waited = answer["restarts"], time.monotonic() - begun
            row = {"waited": round(waited, 1), "last": answer["last"]}
            if answer["answered"]:
                return {**result, "changed": False, **row}
            if answer["dead"] or waited >= limit:
                step = "" if answer["dead"] else hint
                return {**result, "failed": True, "msg": problem(args["url"], limit, answer), "next_step": step, **row}
            tell(host, f"waiting for {args['url']}: {waited:.0f} of {limit:.0f} s; last answer: {answer['last']}")


def problem(url: str, limit: float, answer: dict[str, Any]) -> str:
    if answer["dead"]:
        return f"{url} does not answer ({answer['last']}): {answer['dead']}"
    return f"{url} did not answer within {limit:.0f} s; last answer: {answer['last']}"
