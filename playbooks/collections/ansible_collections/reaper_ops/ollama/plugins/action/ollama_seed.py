# GNU General Public License v3.0 or later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module ollama_seed in the background and shows its progress, as ollama_pull does."""

from __future__ import annotations

from typing import Any

from ansible_collections.reaper_ops.ollama.plugins.action.ollama_pull import ActionModule as Base


class ActionModule(Base):  # type: ignore[misc, valid-type]
    module = "reaper_ops.ollama.ollama_seed"
    kept = ("swarm",)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        if self._task.args.get("state", "present") == "present":
            return dict(super().run(tmp, task_vars))
        return dict(self._execute_module(self.module, dict(self._task.args), task_vars=task_vars))
