# GNU General Public License v3.0 or later (see playbooks/COPYING)
"""Evaluates a host's settings (templates, vault values) on the controller; the host is not contacted."""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

PREFIXES = ("ollama_", "gpu_", "swap_", "docker_", "exposure", "gateway_", "lab_")
NAMES = ("ansible_connection", "ansible_host", "reaper_ignore")


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        variables = {}
        for name, value in task_vars.items():
            if name.startswith(PREFIXES) or name in NAMES:
                try:
                    variables[name] = self._templar.template(value)
                except AnsibleError as error:
                    return {**result, "failed": True, "msg": f"{name}: {error}"}
        return {**result, "changed": False, "variables": variables}
