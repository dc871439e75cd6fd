# GNU General Public License v3.0 or later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module ollama_pull in the background on the host and shows its progress as it goes."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from reaper_ops.core import framed

LIMIT = 2 * 24 * 3600
EVERY = 1.0
GRACE = 60
JOBS = "~/.ansible_async/reaper_ops"
NOTHING = {"changed": False, "models": [], "skip_reason": "no models are configured"}

display = Display()


class ActionModule(ActionBase):
    """Other plugins run their own module in the same way: `module`, and which further keys of its result they keep."""

    _supports_check_mode = True
    _supports_async = False
    module = "reaper_ops.ollama.ollama_pull"
    kept: tuple[str, ...] = ()

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = dict(self._task.args)
        if self.needless(args):
            return {**result, **NOTHING}
        if self._task.check_mode:
            return {**result, **self._execute_module(self.module, args, task_vars=task_vars)}
        host = str((task_vars or {}).get("inventory_hostname", self._play_context.remote_addr))
        token = f"/tmp/.reaper_ops-pull-{secrets.token_hex(8)}"
        progress = str(args.setdefault("progress_file", token))
        args["heartbeat"] = progress + ".watched"
        made = (f": > {shlex.quote(path)}" for path in (progress, args["heartbeat"]))
        self._low_level_execute_command(f"umask 077; set -C; {'; '.join(made)}")
        try:
            started = self._start(args, task_vars)
            if started.get("failed") or "results_file" not in started:
                return {**result, **started}
            self._follow(host, progress, args["heartbeat"], started["results_file"])
            return {**result, **self._collect(started["results_file"])}
        finally:
            self._low_level_execute_command(f"rm -f {shlex.quote(progress)} {shlex.quote(args['heartbeat'])}")

    def get_shell_option(self, option: str, default: Any = None) -> Any:
        """Jobs get a directory of their own, so that `reaper_remains` can distinguish them from other jobs."""
        return JOBS if option == "async_dir" else super().get_shell_option(option, default)

    def needless(self, args: dict[str, Any]) -> bool:
        return not args.get("models")

    def _start(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        before = self._task.async_val
        self._task.async_val = LIMIT
        try:
            started: dict[str, Any] = self._execute_module(self.module, args, task_vars=task_vars, wrap_async=True)
        finally:
            self._task.async_val = before
        return started

    def _follow(self, host: str, progress: str, heartbeat: str, results_file: str) -> None:
        """Returns when the job has written its result, or can no longer be alive."""
        snapshot, silent, shown = shlex.quote(progress), 0, Shown(host)
        pid = f"$(sed -n 's/.*\"pid\": \\([0-9]*\\).*/\\1/p' {snapshot} 2>/dev/null)"
        asked = (
            f"touch -c {shlex.quote(heartbeat)}; cat {snapshot} 2>/dev/null",
            f"kill -0 {pid} 2>/dev/null && echo lives",
            f"cat {shlex.quote(results_file)} 2>/dev/null",
        )
        while silent < GRACE:
            written, lives, job = self._asked(*asked) or ("", "", "")
            event = _parsed(written)
            if event:
                shown.event(event)
            state = _parsed(job)
            if job and (state is None or not ("finished" in state and not state["finished"])):
                return
            silent = 0 if lives == "lives" else silent + 1
            time.sleep(EVERY)

    def _collect(self, results_file: str) -> dict[str, Any]:
        path = shlex.quote(results_file)
        result = _parsed("".join(self._asked(f"cat {path}")))
        if result is None or ("finished" in result and not result["finished"]):
            return {"failed": True, "msg": "the work was interrupted on the host; run again, it resumes from there"}
        self._low_level_execute_command(f"rm -f {path}")
        ours = ("changed", "failed", "msg", "models", "diff", "exception", "module_stdout", "module_stderr")
        return {key: value for key, value in result.items() if key in (*ours, *self.kept)}

    def _asked(self, *parts: str) -> tuple[str, ...]:
        """What each part printed on the host; empty when the answer is incomplete."""
        token = secrets.token_hex(8)
        answer = self._low_level_execute_command(framed.command(token, parts))
        return framed.parts(token, str(answer.get("stdout", "")), len(parts))


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


class Shown:
    """Reports progress of one host: every change as an event, or one line per tenth for people."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.last: tuple[Any, ...] = ()
        self.as_events = os.environ.get("REAPER_OPS_EVENTS") == "1"

    def event(self, event: dict[str, Any]) -> None:
        completed = event.get("model_completed") if event.get("model_total") else event.get("completed")
        total = event.get("model_total") or event.get("total") or 0
        tenth = int(10 * (completed or 0) / total) if total else 0
        if self.as_events:
            mark: tuple[Any, ...] = tuple(event.get(key) for key in ("model", "layer", "completed", "status"))
        else:
            mark = (event.get("model"), tenth) if total else (event.get("model"), event.get("status"))
        if mark == self.last:
            return
        self.last = mark
        if self.as_events:
            keys = ("model", "layer", "completed", "total", "status", "model_completed", "model_total")
            row = {"event": "progress", "host": self.host, **{key: event.get(key) for key in keys}}
            display.display(json.dumps(row))
        else:
            share = f"{10 * tenth} % of {total / 1e9:.1f} GB, " if total else ""
            display.display(f"{self.host}: {event.get('model')}: {share}{event.get('status')}")
