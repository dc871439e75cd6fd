# GNU General Public License v3.0 or later (see playbooks/COPYING)
"""Evaluates a host's settings (templates, vault values) on the controller; the host is not contacted."""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from reaper_ops.core import settings

try:
    from ansible._internal._datatag._tags import Origin
except ImportError:
    Origin = None

NAMES = ("ansible_connection", "ansible_host", "ansible_port", "reaper_ignore")


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        variables, files = {}, {}
        for name in [*settings.relevant(task_vars), *(name for name in NAMES if name in task_vars)]:
            try:
                variables[name] = self._templar.template(task_vars[name])
            except AnsibleError as error:
                return {**result, "failed": True, "msg": f"{name}: {error}"}
            origin = Origin and Origin.get_tag(task_vars[name])
            if origin and origin.path:
                files[name] = f"{origin.path}:{origin.line_num}" if origin.line_num else origin.path
        return {**result, "changed": False, "variables": variables, "files": files}
