# GNU General Public License v3.0 or later (see COPYING)
"""Evaluates a host's settings (templates, vault values) on the controller; the host is not contacted."""

from __future__ import annotations

from fnmatch import fnmatchcase

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

try:
    from ansible._internal._datatag._tags import Origin
except ImportError:
    Origin = None

PREFIXES = ("ollama_", "gpu_", "swap_", "docker_", "exposure", "gateway_", "mirror_", "lab_")
NAMES = ("ansible_connection", "ansible_host", "ansible_port", "reaper_ignore")


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        ignored = self._templar.template(task_vars.get("reaper_ignore", ()))
        patterns = [part.strip() for part in ignored.split(",")] if isinstance(ignored, str) else list(ignored or ())
        variables, files = {}, {}
        for name in task_vars:
            if not self._wanted(name, patterns):
                continue
            try:
                variables[name] = self._templar.template(task_vars[name])
            except AnsibleError as error:
                return {**result, "failed": True, "msg": f"{name}: {error}"}
            origin = Origin and Origin.get_tag(task_vars[name])
            if origin and origin.path:
                files[name] = f"{origin.path}:{origin.line_num}" if origin.line_num else origin.path
        return {**result, "changed": False, "variables": variables, "files": files}

    @staticmethod
    def _wanted(name, patterns):
        if name in NAMES:
            return True
        return name.startswith(PREFIXES) and not any(fnmatchcase(name, pattern) for pattern in patterns)
