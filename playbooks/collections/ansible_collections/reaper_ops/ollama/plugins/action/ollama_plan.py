# GNU General Public License v3.0 or later (see COPYING)
"""Reads a host and computes its plan on the controller.

Returns ``reaper``, which roles and templates use; with ``read_only: true`` only the host's answers, and with
``evidence: true`` also those that only a diagnosis needs.

The variable ``reaper_confirmed`` holds what was confirmed for each host. If the plan contains anything else, no task
runs and ``withheld`` lists the difference. ``again: true`` allows what follows from an engine installed meanwhile.
"""

from __future__ import annotations

import time

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

try:
    from reaper_ops.adapters import reader
    from reaper_ops.core import facts
    from reaper_ops.core.inventory import settings
    from reaper_ops.core.inventory.hosts import CONNECTION
    from reaper_ops.core.mirror.site import Site
    from reaper_ops.core.provision import arguments, choices, confirmed, desired_state
    from reaper_ops.core.secrets import redact
    from reaper_ops.errors import ReaperError
except ImportError as problem:
    raise AnsibleError(
        f"reaper_ops is not installed for the Python that runs Ansible ({problem}); "
        "run the ansible-playbook of the environment that has reaper-ops installed"
    ) from problem


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset({"read_only", "allow_blockers", "evidence", "again", "roles"})

    def run(self, tmp=None, task_vars=None):
        """Without secrets where it failed; else, with all that roles need, it is not for `ansible-playbook -v`."""
        found = self._judged(super().run(tmp, task_vars), task_vars)
        if found.get("failed"):
            return {**found, **{name: redact(str(found[name])) for name in ("msg",) if name in found}}
        return {**found, "_ansible_verbose_override": True}

    def _variables(self, task_vars):
        ours = {name: value for name, value in task_vars.items() if name.startswith(settings.PREFIXES)}
        ours["reaper_ignore"] = self._templar.template(task_vars.get("reaper_ignore", []))
        return {name: self._templar.template(value) for name, value in settings.relevant(ours).items()}

    def _judged(self, result, task_vars):
        host, variables = task_vars["inventory_hostname"], self._variables(task_vars)
        wanted, errors = settings.parse(host, variables)
        if wanted is None:
            return {**result, "failed": True, "msg": "; ".join(str(error) for error in errors)}
        if "reaper_site_mirror" in task_vars:
            wanted = Site(**task_vars["reaper_site_mirror"]).settings(host, wanted)
        evidence, before = bool(self._task.args.get("evidence")), time.time()
        answers = self._read(facts.asks(wanted, traces=evidence), wanted.lab_facts_root or "", task_vars)
        if answers.get("failed") or "answers" not in answers:
            return {**result, **answers, "failed": True}
        if evidence:
            answers["answers"]["controller"] = {"before": before, "after": time.time()}
        if evidence or self._task.args.get("read_only"):
            reached = {name: self._templar.template(task_vars[name]) for name in CONNECTION if name in task_vars}
            return {**result, "changed": False, "answers": answers["answers"], "variables": {**variables, **reached}}
        found = facts.parse(host, wanted, answers["answers"])
        intent = self._part(desired_state.derive(wanted, found), task_vars)
        if self._task.args.get("allow_blockers"):
            return {**result, "changed": False, "reaper": intent.for_roles()}
        given = task_vars.get("reaper_confirmed")
        if intent.plan.blockers and given is None:
            return {**result, "failed": True, "msg": "; ".join(intent.plan.blockers)}
        try:
            withheld = [] if given is None else self._beyond(confirmed.parse(host, given.get(host, {})), intent)
        except ReaperError as error:
            return {**result, "failed": True, "msg": f"reaper_confirmed: {error}"}
        role = intent.for_roles() | ({"todo": [], "roles": []} if withheld else {})
        return {**result, "changed": False, "reaper": role, "withheld": withheld}

    def _part(self, intent, task_vars):
        """Of a role that is used by itself, what it is about; of `--tags` and `--skip-tags`, the actions they name."""
        roles, known = self._task.args.get("roles"), arguments.ARGUMENTS
        tags = set(task_vars.get("ansible_run_tags", ())) - {"all"}
        chosen = {id_ for id_ in known if {id_, id_.split("/")[0]} & tags}
        if tags and not chosen and not roles:
            raise AnsibleError(f"--tags {','.join(sorted(tags))} names no role and no action of `reaper-ops plan`")
        part = intent if not roles else intent.part(roles)
        part = part.part(chosen) if chosen else part
        skipped = {id_ for id_ in known if {id_, id_.split("/")[0]} & set(task_vars.get("ansible_skip_tags", ()))}
        return part.part(set(known) - skipped) if skipped else part

    def _beyond(self, given, intent):
        """What this plan contains beyond what was confirmed; a later one may use a choice, for roles still to come."""
        again = bool(self._task.args.get("again"))
        now = choices.confirm(intent)
        if again:
            now = confirmed.Confirmed(now.machine, confirmed.of_roles(now.steps, choices.LATER))
        blockers = [f"cannot be changed any more: {text}" for text in intent.plan.blockers]
        return [*blockers, *given.differences(now, later=again)]

    def _read(self, asks, root, task_vars):
        """Through a pipe into one program where the connection supports it, otherwise as a module."""
        if self._is_pipelining_enabled("new"):
            python = self._templar.template(task_vars.get("ansible_python_interpreter", "auto"))
            known = None if python.startswith("auto") else python
            command = f"{self._compute_environment_string()} {reader.command(known)}".lstrip()
            done = self._low_level_execute_command(command, in_data=reader.program(asks, root).encode())
            answers = reader.answers(done["stdout"])
            if answers is not None:
                return {"answers": answers}
        module_args = {"asks": asks, "root": root}
        return self._execute_module("reaper_ops.ollama.reaper_read", module_args, task_vars=task_vars)
