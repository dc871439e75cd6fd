#!/usr/bin/python
"""Enables, starts or restarts a systemd unit; predicts it in check mode even before the unit exists."""

from __future__ import annotations

DOCUMENTATION = r"""
module: unit_state
short_description: Enable, start or restart a systemd unit
description:
  - Always reloads systemd first: C(NeedDaemonReload=no) is wrong when a drop-in was added in a directory that did not
    exist at the last reload.
  - In check mode, a unit that does not exist yet counts as changed.
options:
  name: {description: Unit with its suffix., type: str, required: true}
  state: {description: The wanted state., type: str, required: true, choices: [enabled, started, restarted]}
author: [reaper_ops]
"""
EXAMPLES = r"""
- name: Start the server
  reaper_ops.ollama.unit_state: {name: ollama.service, state: started}
"""
RETURN = r"""
before: {description: Properties before., type: dict, returned: always}
"""

from ansible.module_utils.basic import AnsibleModule  # noqa: E402 - Ansible wants the documentation first

WANTED = "LoadState,ActiveState,SubState,UnitFileState,Result"
VERBS = {"enabled": "enable", "started": "start", "restarted": "restart"}


def properties(module, name):
    rc, out, err = module.run_command(["systemctl", "show", name, "--no-pager", "-p", WANTED])
    if rc != 0:
        module.fail_json(msg="systemctl show %s: %s" % (name, (err or out).strip()))
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def is_done(state, before):
    if state == "enabled":
        return before.get("UnitFileState") == "enabled"
    return state == "started" and before.get("ActiveState") == "active"


def journal(module, name):
    _, out, _ = module.run_command(["journalctl", "-u", name, "-n", "15", "--no-pager", "-o", "cat"])
    return out.strip()


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "required": True, "choices": sorted(VERBS)},
        },
        supports_check_mode=True,
    )
    name, state = module.params["name"], module.params["state"]
    before = properties(module, name)
    if is_done(state, before):
        module.exit_json(changed=False, before=before)
    if module.check_mode:
        module.exit_json(changed=True, before=before)
    module.run_command(["systemctl", "daemon-reload"], check_rc=True)
    if state != "enabled":
        module.run_command(["systemctl", "reset-failed", name])
    rc, out, err = module.run_command(["systemctl", VERBS[state], name])
    if rc != 0:
        text = (err or out).strip()
        module.fail_json(msg="systemctl %s %s: %s\n%s" % (VERBS[state], name, text, journal(module, name)))
    module.exit_json(changed=True, before=before)


if __name__ == "__main__":
    main()
