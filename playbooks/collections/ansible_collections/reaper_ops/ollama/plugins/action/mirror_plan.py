# GNU General Public License v3.0 or later (see COPYING)
"""Reads a mirror's host and computes its plan on the controller; returns ``reaper``.

With ``reaper_confirmed``, ``withheld`` lists what the plan contains beyond what was confirmed.
"""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

try:
    from reaper_ops.core.inventory import settings
    from reaper_ops.core.mirror import plan, reach
    from reaper_ops.core.provision import confirmed
    from reaper_ops.core.secrets import redact
    from reaper_ops.errors import ReaperError
except ImportError as problem:
    raise AnsibleError(
        f"reaper_ops is not installed for the Python that runs Ansible ({problem}); "
        "run the ansible-playbook of the environment that has reaper-ops installed"
    ) from problem


def _peers(host, task_vars):
    """The mirror first, then the other hosts of its inventory."""
    known = task_vars["hostvars"]
    names = [host, *(name for name in task_vars["groups"]["all"] if name != host)]
    words = ("ansible_host", "ansible_connection")
    return [reach.Peer(name, *(str(known[name].get(word) or "") for word in words)) for name in names]


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset({"allow_blockers"})

    def run(self, tmp=None, task_vars=None):
        """Without secrets where it failed; else, with all that roles need, it is not for `ansible-playbook -v`."""
        found = self._judged(super().run(tmp, task_vars), task_vars)
        if found.get("failed"):
            return {**found, **{name: redact(str(found[name])) for name in ("msg",) if name in found}}
        return {**found, "_ansible_verbose_override": True}

    def _desired(self, host, task_vars):
        ours = {name: value for name, value in task_vars.items() if name.startswith(settings.PREFIXES)}
        ours["reaper_ignore"] = self._templar.template(task_vars.get("reaper_ignore", []))
        variables = {name: self._templar.template(value) for name, value in settings.relevant(ours).items()}
        return settings.parse(host, variables)

    def _judged(self, result, task_vars):
        host = task_vars["inventory_hostname"]
        wanted, errors = self._desired(host, task_vars)
        if wanted is None:
            return {**result, "failed": True, "msg": "; ".join(str(error) for error in errors)}
        if wanted.mirror_runtime == "none":
            return {**result, "failed": True, "msg": "the host is not a mirror; set mirror_runtime: systemd"}
        me, *others = _peers(host, task_vars)
        try:
            wanted = reach.bound(wanted, me, others)
        except ReaperError as error:
            if not self._task.args.get("allow_blockers"):
                return {**result, "failed": True, "msg": str(error)}
        read = {"asks": plan.asks(wanted, others), "root": ""}
        answers = self._execute_module("reaper_ops.ollama.reaper_read", read, task_vars=task_vars)
        if answers.get("failed") or "answers" not in answers:
            return {**result, **answers, "failed": True}
        try:
            wanted = reach.allowed(wanted, others, answers["answers"])
        except ReaperError as error:
            if not self._task.args.get("allow_blockers"):
                return {**result, "failed": True, "msg": f"{host}/{error}"}
        role = plan.for_role(wanted, answers["answers"])
        if role["blockers"] and not self._task.args.get("allow_blockers"):
            return {**result, "failed": True, "msg": "; ".join(role["blockers"])}
        now, given = plan.confirm(wanted, answers["answers"]), task_vars.get("reaper_confirmed")
        return {**result, **self._compared(host, role, now, given)}

    def _compared(self, host, role, now, given):
        try:
            beyond = [] if given is None else confirmed.parse(host, given.get(host, {})).differences(now)
        except ReaperError as error:
            return {"failed": True, "msg": f"reaper_confirmed: {error}"}
        row = {"reaper": role, "actions": role["actions"], "confirm": now.as_json(), "withheld": list(beyond)}
        return {"changed": False, **row}
