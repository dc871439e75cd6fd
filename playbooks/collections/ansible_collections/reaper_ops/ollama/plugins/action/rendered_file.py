# GNU General Public License v3.0 or later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a file as ansible.builtin.template does; the difference that `--diff` and `-vvv` show holds no secret."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action.template import ActionModule as Template
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import redact


class ActionModule(Template):  # type: ignore[misc]
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = dict(super().run(tmp, task_vars))
        shown = result.get("diff")
        rows = shown if isinstance(shown, list) else [shown] if isinstance(shown, dict) else []
        if rows:
            result["diff"] = [
                {name: redact(value) if isinstance(value, str) else value for name, value in row.items()}
                for row in rows
            ]
        return result
