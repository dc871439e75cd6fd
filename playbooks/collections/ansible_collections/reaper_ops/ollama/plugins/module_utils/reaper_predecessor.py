"""A foreign container that ours replaces: stopped and renamed, and restored later."""

from __future__ import annotations

import subprocess

from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_packages import run
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import brief

STOP_TIMEOUT = 30


def exists(name):
    return run(["docker", "container", "inspect", "-f", "{{.Id}}", name])[0] == 0


def must(*words):
    rc, out = run(["docker", *words])
    if rc != 0:
        raise Trouble("docker %s: %s" % (" ".join(words), brief(out.strip(), -400)))
    return out


def obstacle(name, kept):
    """Why it cannot be stopped and renamed; empty when it can, or already is."""
    if exists(name) and exists(kept):
        return "container %s already exists; remove it or rename it, then run again" % kept
    return ""


def stop_and_rename(name, kept):
    """Stops and renames it, and turns off its restart policy, which would otherwise start it again with the engine."""
    if exists(name):
        must("update", "--restart", "no", name)
        must("stop", "--time", str(STOP_TIMEOUT), name)
        must("rename", name, kept)


def give_back(name, record):
    """Undo `stop_and_rename`, even one that was cut short. Another container that now has the name is not touched."""
    kept = record["kept"]
    if exists(kept):
        if exists(name):
            raise Trouble("another container is now called %s; %s is left unchanged" % (name, kept))
        must("rename", kept, name)
    must("update", "--restart", record["restart"] or "no", name)
    if record["running"]:
        must("start", name)


def copy(source, target, path):
    """Copies a directory of one container to the same path in another; neither needs to run."""
    with subprocess.Popen(["docker", "cp", "%s:%s/." % (source, path), "-"], stdout=subprocess.PIPE) as reading:
        writing = subprocess.run(
            ["docker", "cp", "-", "%s:%s" % (target, path)],
            stdin=reading.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        reading.stdout.close()
    if reading.returncode or writing.returncode:
        said = brief(writing.stdout.decode("utf-8", "replace").strip(), -300)
        raise Trouble("the models in container %s could not be copied: %s" % (source, said or "docker cp failed"))
