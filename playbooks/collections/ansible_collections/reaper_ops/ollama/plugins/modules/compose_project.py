#!/usr/bin/python
"""Converges a Compose project to its file; `changed` is computed from the containers themselves."""

from __future__ import annotations

import json
import os
import time
import urllib.request

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_predecessor
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_packages import run
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import brief

DOCUMENTATION = r"""
module: compose_project
short_description: Run, restart or remove a Compose project
description:
  - Compares the configuration hash and image of each container with the file, so that check mode predicts the run
    that follows. Without an engine or the file, everything counts as changed.
options:
  project: {description: Name of the project., type: str, required: true}
  file: {description: Compose file on the host., type: path, required: true}
  state:
    description: C(absent) keeps volumes unless I(volumes) is set.
    type: str
    choices: [present, restarted, absent]
    default: present
  replaces:
    description:
      - Name of a foreign container that ours replaces. It is stopped and renamed to I(record.kept), and restored when
        ours does not answer. C(record.copy) is a directory in it that is copied into ours first.
    type: str
  record: {description: The recorded state of that container; see reaper_predecessor., type: dict, default: {}}
  url: {description: With I(replaces), the URL that answers when ours runs., type: str}
  timeout: {description: With I(replaces), how many seconds to wait for the answer., type: int, default: 120}
  volumes: {description: With I(state=absent), remove the project's volumes too., type: bool, default: false}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Start the container
  reaper_ops.ollama.compose_project: {project: reaper_ops, file: /etc/reaper_ops/compose.yaml}
"""
RETURN = r"""
services: {description: Container, hash, image and state of each service., type: dict, returned: always}
pulled: {description: Images that were not on the host., type: list, elements: str, returned: always}
output: {description: What Compose printed., type: str, returned: always}
"""
LABEL = "com.docker.compose."
FIELDS = ("service", "id", "hash", "image", "state")
FORMAT = "\t".join(
    "{{.ID}}" if field == "id" else "{{.State}}" if field == "state" else '{{.Label "%s%s"}}' % (LABEL, field)
    for field in ("service", "id", "config-hash", "image", "state")
)
ALIVE = ("running", "restarting")
CAUSES = (
    ("manifest unknown", "the registry has no such image; check ollama_version and ollama_image"),
    ("manifest for", "the registry has no such image; check ollama_version and ollama_image"),
    ("toomanyrequests", "the registry limits the rate; log in there, or set ollama_image to a mirror"),
    ("no such host", "the host cannot resolve the registry; check its DNS and Docker's proxy settings"),
    ("i/o timeout", "the registry is not reachable; check the network and Docker's proxy settings"),
    ("address already in use", "another program listens on the port; stop it or change ollama_port"),
    ("port is already allocated", "another container uses the port; stop it or change ollama_port"),
    ("could not select device driver", "the engine has no GPU driver configured; `reaper-ops plan` shows the toolkit"),
    ("unresolvable cdi devices", "the CDI specification does not list this GPU; run nvidia-ctk cdi generate"),
    ("no space left", "free disk space where Docker keeps its images"),
)


class Project:
    def __init__(self, name, file):
        self.name, self.file = name, file

    def compose(self, *words):
        given = ["-f", self.file] if os.path.exists(self.file) else []
        return run(["docker", "compose", "-p", self.name, *given, *words])

    def must(self, *words):
        rc, out = self.compose(*words)
        if rc != 0:
            low = out.lower()
            advice = next((step for text, step in CAUSES if text in low), "see the lines above in the output")
            raise Trouble("docker compose %s: %s; %s" % (" ".join(words), brief(out.strip(), -600), advice))
        return out

    def obstacle(self):
        """Why nothing can be read yet, with the next step; empty when everything is there."""
        rc, _ = run(["docker", "version", "-f", "{{.Server.Version}}"])
        if rc == 127:
            return "docker: program not found; set docker_install or install Docker"
        if rc != 0:
            return "the Docker engine does not answer; see `systemctl status docker`"
        if run(["docker", "compose", "version"])[0] != 0:
            return "docker compose: Compose v2 is not installed; install docker-compose-plugin or docker-compose"
        return "" if os.path.exists(self.file) else "%s: no such file; run `reaper-ops up`" % self.file

    def containers(self):
        """{service: its current containers}."""
        label = "label=%sproject=%s" % (LABEL, self.name)
        rc, out = run(["docker", "ps", "-a", "--no-trunc", "--filter", label, "--format", FORMAT])
        if rc != 0:
            raise Trouble("docker ps: %s" % brief(out.strip(), -300))
        found = {}
        for line in out.splitlines():
            row = {FIELDS[at]: value for at, value in enumerate(line.split("\t"))}
            found.setdefault(row.pop("service"), []).append(row)
        return found

    def wanted(self):
        """{service: (hash, image)} as the file defines them."""
        self.must("config", "-q")
        try:
            services = json.loads(self.must("config", "--format", "json"))["services"]
        except (ValueError, KeyError) as error:
            raise Trouble(
                "%s: docker compose config printed no JSON (%r); Compose is too old" % (self.file, error)
            ) from None
        rows = [line.split() for line in self.must("config", "--hash", "*").splitlines()]
        hashes = {row[0]: row[1] for row in rows if len(row) == 2}
        return {name: (hashes.get(name, ""), services[name].get("image", "")) for name in services}

    def volumes(self):
        label = "label=%sproject=%s" % (LABEL, self.name)
        return set(run(["docker", "volume", "ls", "-q", "--filter", label])[1].split())

    def undo(self, volumes):
        """Removes what a failed first start left: containers, networks, and volumes that did not exist before."""
        self.compose("down", "--remove-orphans")
        for name in self.volumes() - volumes:
            run(["docker", "volume", "rm", name])

    def image_id(self, image):
        """Empty when the image is not on the host."""
        rc, out = run(["docker", "image", "inspect", "-f", "{{.Id}}", image])
        return out.strip() if rc == 0 else ""

    def differs(self, wanted, found, images):
        """Services that differ from the file, and those that it no longer lists."""
        wrong = [name for name in found if name not in wanted]
        for name, (digest, image) in wanted.items():
            rows = found.get(name, [])
            good = [
                r for r in rows if r["hash"] == digest and r["state"] in ALIVE and r["image"] in ("", images[image])
            ]
            if not good or len(good) != len(rows):
                wrong.append(name)
        return wrong


def lines(found):
    rows = [(name, row) for name, rows in sorted(found.items()) for row in rows]
    return "".join("%s %s %s\n" % (name, row["state"], row["hash"][:12]) for name, row in rows)


def foreseen(wanted):
    return "".join("%s running %s\n" % (name, digest[:12]) for name, (digest, _) in sorted(wanted.items()))


def present(project, restart, check):
    obstacle = project.obstacle()
    if obstacle:
        if not check:
            raise Trouble(obstacle)
        return {"changed": True, "services": {}, "pulled": [], "output": "", "notes": [obstacle]}
    wanted, before = project.wanted(), project.containers()
    images = {image: project.image_id(image) for _, image in wanted.values()}
    wrong = project.differs(wanted, before, images)
    answer = {"changed": bool(wrong) or restart, "services": before, "output": "", "diff": {}}
    answer["pulled"] = [image for image, found in images.items() if image and not found]
    answer["diff"] = {"before": lines(before), "after": foreseen(wanted)}
    if check or not answer["changed"]:
        return answer
    if wrong:
        answer["output"] = brought_up(project, wanted, before)
    else:
        answer["output"] = project.must("restart")
        must_run(project, wanted)
    answer["services"] = project.containers()
    return answer


def brought_up(project, wanted, before):
    """Removes what did not exist before if it cannot run."""
    volumes = project.volumes()
    try:
        output = project.must("up", "-d", "--remove-orphans", "--quiet-pull")
        must_run(project, wanted)
    except Trouble:
        if not before:
            project.undo(volumes)
        raise
    return output


def must_run(project, wanted):
    found = project.containers()
    stopped = [name for name in wanted if not any(r["state"] in ALIVE for r in found.get(name, []))]
    if stopped:
        _, logs = project.compose("logs", "--no-color", "--tail", "10", *stopped)
        raise Trouble("%s exited at once; its log: %s" % (", ".join(stopped), brief(logs.strip(), -800)))


def replacing(project, name, record, url, timeout):
    """Starts ours in place of another container, which is restored when ours does not answer."""
    obstacle = project.obstacle() or reaper_predecessor.obstacle(name, record["kept"])
    if obstacle:
        raise Trouble(obstacle)
    wanted, volumes = project.wanted(), project.volumes()
    if any(not project.image_id(image) for _, image in wanted.values()):
        project.must("pull", "--quiet")
    try:
        reaper_predecessor.stop_and_rename(name, record["kept"])
        if record.get("copy"):
            project.must("create")
            ours = [row["id"] for rows in project.containers().values() for row in rows]
            reaper_predecessor.copy(record["kept"], ours[0], record["copy"])
        output = project.must("up", "-d", "--remove-orphans")
        must_run(project, wanted)
        if not answers(url, timeout):
            raise Trouble("%s did not answer within %d s" % (url, timeout))
    except Trouble as trouble:
        project.undo(volumes)
        reaper_predecessor.give_back(name, record)
        raise Trouble("%s; container %s was restored" % (trouble, name)) from None
    return {"changed": True, "services": project.containers(), "pulled": [], "output": output}


def answers(url, timeout):
    deadline = time.monotonic() + timeout
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline:
        try:
            with direct.open(url, timeout=5):
                return True
        except OSError:
            time.sleep(1)
    return False


def absent(project, volumes, check):
    rc, _ = run(["docker", "version", "-f", "{{.Server.Version}}"])
    if rc == 127:
        return {"changed": False, "services": {}, "pulled": [], "output": "", "diff": {"before": "", "after": ""}}
    if rc != 0:
        raise Trouble("the Docker engine does not answer; see `systemctl status docker`")
    label = "label=%sproject=%s" % (LABEL, project.name)
    before = project.containers()
    parts = [["network", "ls", "-q"]] + ([["volume", "ls", "-q"]] if volumes else [])
    rest = [out for out in (run(["docker", *part, "--filter", label])[1] for part in parts) if out.strip()]
    answer = {"changed": bool(before or rest), "services": {}, "pulled": [], "output": ""}
    answer["diff"] = {"before": lines(before), "after": ""}
    if answer["changed"] and not check:
        answer["output"] = project.must("down", "--remove-orphans", *(["--volumes"] if volumes else []))
    return answer


def main():
    module = AnsibleModule(
        {
            "project": {"type": "str", "required": True},
            "file": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "restarted", "absent"], "default": "present"},
            "volumes": {"type": "bool", "default": False},
            "replaces": {"type": "str"},
            "record": {"type": "dict", "default": {}},
            "url": {"type": "str"},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    params = module.params
    project = Project(params["project"], params["file"])
    try:
        if params["state"] == "absent":
            answer = absent(project, params["volumes"], module.check_mode)
        elif params["replaces"] and module.check_mode:
            answer = {"changed": True, "services": {}, "pulled": [], "output": ""}
        elif params["replaces"]:
            answer = replacing(project, params["replaces"], params["record"], params["url"], params["timeout"])
        else:
            answer = present(project, params["state"] == "restarted", module.check_mode)
    except Trouble as trouble:
        module.fail_json(msg=str(trouble))
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
