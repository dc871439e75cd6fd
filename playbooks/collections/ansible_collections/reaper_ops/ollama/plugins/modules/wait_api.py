#!/usr/bin/python
"""Waits for an HTTP server on its own host until a deadline, or until what runs it has failed."""

from __future__ import annotations

import http.client
import json
import shutil
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_models import request
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_process import find, load, log_tail
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import Trouble
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import redact

DOCUMENTATION = r"""
module: wait_api
short_description: Wait until a server answers
description:
  - Polls the server until it answers with status 200 and the expected values, or O(seconds) have passed.
  - Stops early when one of O(units) has failed or keeps crashing, one of O(containers) has exited, or the process of
    O(spec) is gone, and returns its last log line.
  - The action plugin of the same name calls it in short runs, reports progress and keeps the overall deadline.
options:
  url: {description: Address with path., type: str, required: true}
  expect: {description: Values that the JSON answer must have., type: dict, default: {}}
  seconds: {description: How long to wait in this run., type: float, default: 5}
  timeout: {description: How long to wait in total; read by the action plugin., type: float, default: 120}
  units: {description: systemd units that run it., type: list, elements: str, default: []}
  containers: {description: Containers that run it., type: list, elements: str, default: []}
  spec: {description: Specification of the process that runs it., type: path}
  restarts: {description: Restarts counted before; read by the action plugin., type: dict, default: {}}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Wait until the API answers
  reaper_ops.ollama.wait_api:
    url: http://127.0.0.1:11434/api/version
    timeout: 120
    units: [ollama.service]
"""
RETURN = r"""
answered: {description: Whether it answered as expected., type: bool, returned: always}
last: {description: The last answer, in words., type: str, returned: always}
dead: {description: Why it can no longer answer., type: str, returned: always}
restarts: {description: Restarts of units and containers so far., type: dict, returned: always}
"""
PAUSE = 0.5
LOOK_EVERY = 2.0
ONE_REQUEST = 10.0
MOST_BYTES = 1 << 16
CRASHES = 3
"""After this many restarts since the first check, waiting longer does not help."""
TAIL = 5


def ask(url, expect, seconds):
    """Whether it answers as expected, and the answer in words."""
    try:
        with request(url, "GET", "", timeout=max(0.2, min(ONE_REQUEST, seconds))) as (answer, _):
            if answer.status != 200:
                return False, "status %d" % answer.status
            text = answer.read(MOST_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return False, getattr(error, "strerror", None) or str(error) or type(error).__name__
    if not expect:
        return True, "status 200"
    try:
        document = json.loads(text)
    except ValueError:
        return False, "an answer that is not JSON"
    if not isinstance(document, dict):
        return False, "an answer of another kind"
    odd = [key for key, value in expect.items() if document.get(key) != value]
    return not odd, "status 200, but another %s" % ", ".join(odd) if odd else "status 200"


class Runners:
    """What runs the server, and how to detect that it has stopped."""

    def __init__(self, module):
        self.module, self.params = module, module.params
        self.first = dict(self.params["restarts"])
        self.restarts = dict(self.first)

    def dead(self):
        """Why the server can no longer start; empty while it can."""
        found = [self.unit(name) for name in self.params["units"]]
        found += [self.container(name) for name in self.params["containers"]]
        found += [self.process(self.params["spec"])] if self.params["spec"] else []
        return next((text for text in found if text), "")

    def crashes(self, name, count):
        self.restarts[name] = count
        return count - self.first.setdefault(name, count)

    def unit(self, name):
        words = "ActiveState,SubState,Result,ExecMainStatus,NRestarts"
        rc, out, _ = self.module.run_command(["systemctl", "show", name, "--no-pager", "-p", words])
        row = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        if rc != 0 or not row:
            return ""
        how = "result %s, exit status %s" % (row.get("Result", "?"), row.get("ExecMainStatus", "?"))
        if row.get("ActiveState") == "failed":
            return "%s has failed (%s)%s" % (name, how, self.journal(name))
        count = int(row["NRestarts"]) if row.get("NRestarts", "").isdigit() else 0
        if self.crashes(name, count) >= CRASHES:
            return "%s keeps crashing (%s)%s" % (name, how, self.journal(name))
        return ""

    def journal(self, name):
        _, out, _ = self.module.run_command(["journalctl", "-u", name, "-n", str(TAIL), "--no-pager", "-o", "cat"])
        return tail(out)

    def container(self, name):
        docker = shutil.which("docker")
        form = "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}"
        rc, out, _ = self.module.run_command([docker, "inspect", "--format", form, name]) if docker else (1, "", "")
        words = out.split()
        if rc != 0 or len(words) != 3:
            return ""
        if words[0] in ("exited", "dead"):
            return "container %s exited with exit code %s%s" % (name, words[1], self.logs(docker, name))
        if self.crashes(name, int(words[2])) >= CRASHES:
            return "container %s keeps crashing (exit code %s)%s" % (name, words[1], self.logs(docker, name))
        return ""

    def logs(self, docker, name):
        _, out, err = self.module.run_command([docker, "logs", "--tail", str(TAIL), name])
        return tail(out + err)

    def process(self, path):
        spec = load(path)
        if spec is None or find(spec):
            return ""
        return "the process has exited%s" % tail(log_tail(spec["log"]))


def tail(text):
    lines = [line.strip() for line in redact(text).splitlines() if line.strip()][-TAIL:]
    return ": " + " | ".join(lines) if lines else ""


def turn(params, runners):
    deadline, looked, dead = time.monotonic() + params["seconds"], time.monotonic(), ""
    while True:
        answered, last = ask(params["url"], params["expect"], deadline - time.monotonic())
        now = time.monotonic()
        if not answered and (now - looked >= LOOK_EVERY or now >= deadline):
            dead, looked = runners.dead(), now
        if answered or dead or now >= deadline:
            break
        time.sleep(min(PAUSE, max(0.0, deadline - now)))
    return {"answered": answered, "last": last, "dead": dead, "restarts": runners.restarts}


def main():
    words = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        {
            "url": {"type": "str", "required": True},
            "expect": {"type": "dict", "default": {}},
            "seconds": {"type": "float", "default": 5},
            "timeout": {"type": "float", "default": 120},
            "units": words,
            "containers": words,
            "spec": {"type": "path"},
            "restarts": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(changed=False, **turn(module.params, Runners(module)))
    except Trouble as trouble:
        module.fail_json(msg=str(trouble))


if __name__ == "__main__":
    main()
