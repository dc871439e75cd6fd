# GNU General Public License v3.0 or later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies blobs from the controller to a host, piece by piece through the connection, and stores them there."""

from __future__ import annotations

import json
import os
import secrets
import shlex
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from reaper_ops.core import framed

MODULE = "reaper_ops.ollama.store_put"
UNIT = 1 << 16
PIECE = 512 * UNIT
FOREIGN = "'the directory belongs to another user'"
NO_PIPE = "bytes cannot be copied without pipelining; set ANSIBLE_PIPELINING=1, and no `requiretty` for sudo"

display = Display()


class ActionModule(ActionBase):
    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = dict(self._task.args)
        pieces = args.pop("pieces", {})
        looked = self._execute_module(MODULE, {**args, "state": "looked"}, task_vars=task_vars)
        if looked.get("failed"):
            return {**result, **looked}
        if looked["missing"] and not self._is_pipelining_enabled("new"):
            return {**result, "failed": True, "msg": NO_PIPE, "models": []}
        if looked["missing"]:
            self._without_compression()
        host = str((task_vars or {}).get("inventory_hostname", ""))
        for row in args["models"]:
            told = Told(host, row)
            for digest in row["blobs"]:
                if digest in looked["missing"]:
                    have = looked["have"].get(digest, 0)
                    self._carry(pieces[digest], f"{looked['staging']}/{digest.rpartition(':')[2]}", have, told)
                    looked["missing"].pop(digest)
                else:
                    told.more(row["blobs"][digest])
        placed = self._execute_module(MODULE, {**args, "state": "placed"}, task_vars=task_vars)
        return {**result, **placed}

    def _without_compression(self) -> None:
        """Ansible makes ssh compress, which costs CPU time and shrinks no model; this task turns that off."""
        if getattr(self._connection, "transport", "") != "ssh":
            return
        words = shlex.split(self._connection.get_option("ssh_args") or "")
        if "-C" in words:
            self._connection.set_option("ssh_args", shlex.join(word for word in words if word != "-C"))
            self._connection.reset()

    def _carry(self, piece: list[Any], target: str, have: int, told: Told) -> None:
        """A piece written twice, even by two controllers, puts the same bytes at the same offset."""
        path, offset, size = piece
        if have > size:
            self._low_level_execute_command(f"rm -f {shlex.quote(target)}")
        position = have // UNIT * UNIT if have <= size else 0
        told.more(position)
        with open(path, "rb") as file:
            file.seek(offset + position)
            while position < size:
                data = file.read(min(PIECE, size - position))
                if not data:
                    raise AnsibleError(f"{path} became shorter while it was read")
                self._write(data, target, position // UNIT)
                position += len(data)
                told.more(len(data))

    def _write(self, data: bytes, target: str, unit: int) -> None:
        """Checks the owner from inside the directory, so that another user's link cannot lead elsewhere."""
        directory, name = (shlex.quote(part) for part in os.path.split(target))
        write = f"umask 077; dd of=./{name} ibs={UNIT} obs={UNIT} seek={unit} conv=notrunc"
        command = f"{{ cd -P {directory} && if test -O .; then {write}; else echo {FOREIGN}; false; fi; }} 2>&1"
        token = secrets.token_hex(8)
        done = self._low_level_execute_command(framed.command(token, [command]), in_data=data)
        if done.get("rc") != 0:
            printed = framed.parts(token, str(done.get("stdout", "")), 1) or (str(done.get("stderr", "")),)
            lines = printed[0].strip().splitlines() or ["no reason"]
            raise AnsibleError(f"{target}: cannot be written: {lines[0]}")


class Told:
    """Progress of one model, in events for reaper-ops."""

    def __init__(self, host: str, row: dict[str, Any]) -> None:
        self.row = {"event": "progress", "host": host, "model": row["name"], "layer": None, "status": "carrying"}
        self.done, self.total = 0, sum(row["blobs"].values())
        self.more(0)

    def more(self, count: int) -> None:
        self.done += count
        if os.environ.get("REAPER_OPS_EVENTS") == "1":
            both = {"completed": self.done, "total": self.total}
            display.display(json.dumps({**self.row, **both, "model_completed": self.done, "model_total": self.total}))
