# GNU General Public License v3.0 or later (see COPYING)
"""Prints results as JSON lines, so that no program has to parse text."""

from __future__ import annotations

import json
import os

from ansible import constants, context
from ansible.errors import AnsibleError
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import redact

DOCUMENTATION = """
name: reaper_events
type: stdout
short_description: Results as JSON lines
description: Prints one JSON object per line for each task result on a host; used by reaper-ops.
"""


def _id(task) -> str:
    """The action id that a task carries as its tag, such as ollama/unit."""
    return next((tag for tag in task.tags if "/" in str(tag)), "")


def _listing(manager) -> dict[str, object]:
    """The output of `ansible-inventory --list` for the chosen hosts, reduced to what reaper_ops reads."""
    from reaper_ops.core.inventory.hosts import CONNECTION
    from reaper_ops.core.inventory.settings import relevant

    inventory = manager._inventory
    hosts = {host.name: host for host in inventory.get_hosts()}
    variables = {}
    for name, host in hosts.items():
        found = manager.get_vars(host=host, include_hostvars=False, stage="all")
        variables[name] = {**relevant(found), **{key: found[key] for key in CONNECTION if key in found}}
    groups = _below(inventory.groups["all"], {})
    held = {
        name: {"hosts": [host.name for host in group.hosts if host.name in hosts]} for name, group in groups.items()
    }
    return {"_meta": {"hostvars": variables}, **held}


def _below(group, seen: dict[str, object]) -> dict[str, object]:
    """Groups under a group, each once, in the order of `ansible-inventory --list`."""
    for child in sorted(group.child_groups, key=lambda one: one.name):
        if child.name not in seen:
            seen[child.name] = child
            _below(child, seen)
    return seen


def _vaulted(_value: object) -> dict[str, str]:
    """The only inventory values that JSON cannot hold are encrypted ones; they are evaluated on their host."""
    return {"__ansible_vault": ""}


LOGIN = {
    "host": ("ansible_host", "ansible_ssh_host"),
    "user": ("ansible_user", "ansible_ssh_user"),
    "port": ("ansible_port", "ansible_ssh_port"),
    "key": ("ansible_ssh_private_key_file", "ansible_private_key_file"),
}
ARGS = ("ansible_ssh_common_args", "ansible_ssh_extra_args")
TYPED = {"user": "remote_user", "key": "private_key_file"}


def _login(play, result) -> dict[str, str]:
    """How ssh connects to this host, for a command that a person can type: variables first, then the command line."""
    manager = play.get_variable_manager()
    found = manager.get_vars(play=play, host=result._host, task=result._task)
    templar = Templar(loader=manager._loader, variables=found)

    def value(name: str) -> str:
        try:
            return str(templar.template(found.get(name)) or "")
        except AnsibleError:
            return ""

    login = {word: next(filter(None, map(value, names)), "") for word, names in LOGIN.items()}
    for word, option in TYPED.items():
        login[word] = login[word] or str(context.CLIARGS.get(option) or "")
    login["host"] = login["host"] or result._host.get_name()
    return {**login, "args": " ".join(filter(None, map(value, ARGS)))}


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "reaper_events"

    def _say(self, event: str, **fields: object) -> None:
        """The user's log of Ansible gets it without secrets."""
        line = json.dumps({"event": event, **fields}, default=str)
        self._display.display(line, screen_only=True)
        if constants.DEFAULT_LOG_PATH:
            self._display.display(redact(line), log_only=True)

    def _result(self, event: str, result, **fields: object) -> None:
        kept = {k: v for k, v in result._result.items() if k not in {"invocation", "ansible_facts", "reaper"}}
        self._say(
            event,
            host=result._host.get_name(),
            task=result._task.get_name().split(" : ")[-1],
            role=result._task._role.get_name() if result._task._role else "",
            id=_id(result._task),
            result=kept,
            **fields,
        )

    def v2_playbook_on_play_start(self, play) -> None:
        self._play = play
        if os.environ.get("REAPER_OPS_LISTING") == "1":
            row = {"event": "inventory", "listing": _listing(play.get_variable_manager())}
            self._display.display(json.dumps(row, default=_vaulted), screen_only=True)

    def v2_playbook_on_task_start(self, task, is_conditional) -> None:
        role = task._role.get_name() if task._role else ""
        self._say("task", task=task.get_name().split(" : ")[-1], role=role)

    def v2_runner_on_start(self, host, task) -> None:
        self._say(
            "start",
            host=host.get_name(),
            task=task.get_name().split(" : ")[-1],
            id=_id(task),
        )

    def v2_runner_on_ok(self, result) -> None:
        self._result("changed" if result._result.get("changed") else "ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False) -> None:
        self._result("failed", result, ignored=bool(ignore_errors), login=_login(self._play, result))

    def v2_runner_on_unreachable(self, result) -> None:
        self._result("unreachable", result, login=_login(self._play, result))

    def v2_runner_on_skipped(self, result) -> None:
        return

    def v2_on_file_diff(self, result) -> None:
        return

    def v2_playbook_on_stats(self, stats) -> None:
        self._say("stats", hosts={host: stats.summarize(host) for host in stats.processed})
