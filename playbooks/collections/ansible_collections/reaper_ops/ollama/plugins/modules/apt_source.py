#!/usr/bin/python
"""Adds one package archive to apt's sources, and removes it again when apt does not work with it."""

from __future__ import annotations

import os
import subprocess

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import write_atomic

DOCUMENTATION = r"""
module: apt_source
short_description: Add one file to apt's sources, checked by apt
description:
  - Writes the file, then lets apt read all sources and fetch the lists of this one. When either fails, restores what
    was there before and reports apt's own message.
options:
  path: {description: The file below sources.list.d., type: path, required: true}
  content: {description: The file's text in deb822 format., type: str, required: true}
  options: {description: Options for every call of apt; for tests., type: list, elements: str, default: []}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Docker's repository
  reaper_ops.ollama.apt_source:
    path: /etc/apt/sources.list.d/reaper_ops-docker.sources
    content: |
      Types: deb
      URIs: https://download.docker.com/linux/debian
      Suites: trixie
      Components: stable
      Signed-By: /etc/apt/keyrings/reaper_ops-docker.asc
"""
RETURN = r"""
next_step: {description: What to do when apt refuses it., type: str, returned: failure}
"""
SECONDS = 300


def trouble(argv):
    """What apt reports; empty when it succeeds. To apt, a list that cannot be fetched is only a warning."""
    env = dict(os.environ, LC_ALL="C", DEBIAN_FRONTEND="noninteractive")
    try:
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env, timeout=SECONDS
        )
    except FileNotFoundError:
        return "%s is not installed on this host" % argv[0]
    except subprocess.TimeoutExpired:
        return "%s did not finish within %d s" % (argv[0], SECONDS)
    lines = [line.strip() for line in done.stdout.decode("utf-8", "replace").splitlines()]
    said = [line for line in lines if line.startswith(("E:", "W: Failed to fetch", "W: GPG error"))]
    return "; ".join(list(dict.fromkeys(said))[:3]) or (
        "" if done.returncode == 0 else "exit code %d" % done.returncode
    )


def proof(path, options):
    """Why apt does not work with its current sources; empty when it does."""
    words = [word for option in options for word in ("-o", option)]
    only = ["-o", "Dir::Etc::sourcelist=" + path, "-o", "Dir::Etc::sourceparts=-", "-o", "APT::Get::List-Cleanup=0"]
    wrong = trouble(["apt-get", *words, "indextargets", "--format", "$(FILENAME)"])
    return wrong or trouble(["apt-get", *words, *only, "-o", "APT::Update::Error-Mode=any", "update"])


def current(path):
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except FileNotFoundError:
        return None


def put(path, text):
    if text is None:
        os.unlink(path)
    else:
        write_atomic(path, text, 0o644)


def main():
    module = AnsibleModule(
        {
            "path": {"type": "path", "required": True},
            "content": {"type": "str", "required": True},
            "options": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    path, text, options = (module.params[name] for name in ("path", "content", "options"))
    text += "" if text.endswith("\n") else "\n"
    before = current(path)
    changed = before != text
    diff = {"before": before or "", "after": text}
    if module.check_mode or not changed:
        module.exit_json(changed=changed, diff=diff)
    broken = trouble(["apt-get", *[w for o in options for w in ("-o", o)], "indextargets", "--format", "$(FILENAME)"])
    if broken:
        module.fail_json(
            msg="apt does not work on this host, and nothing was added: %s" % broken,
            next_step="repair apt's sources until `apt-get update` succeeds, then run again",
        )
    try:
        put(path, text)
        wrong = proof(path, options)
        if wrong:
            put(path, before)
            module.fail_json(
                msg="%s was removed again, since apt did not work with it: %s" % (path, wrong),
                next_step="find another entry of this archive: `grep -rn -F -e Signed-By -e signed-by /etc/apt`",
            )
    except OSError as error:
        module.fail_json(msg="%s: %s" % (error.filename or path, error.strerror))
    module.exit_json(changed=True, diff=diff)


if __name__ == "__main__":
    main()
