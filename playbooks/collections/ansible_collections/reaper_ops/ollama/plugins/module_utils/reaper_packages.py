"""Removes packages that we installed, but never one that something else now needs."""

from __future__ import annotations

import os
import shutil
import subprocess

from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_ownership import installed

ENGINES = {"docker.io", "docker-ce", "moby-engine"}
TIMEOUT = 1800


def run(argv):
    """(exit code, both outputs); 127 when the program is missing."""
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive", LC_ALL="C.UTF-8")
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            timeout=TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        return 127, "%s: program not found" % argv[0]
    except subprocess.TimeoutExpired:
        return 124, "%s: did not finish within %d s" % (argv[0], TIMEOUT)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def would_go(names):
    """All packages that would be removed together with `names`."""
    if shutil.which("apt-get"):
        rc, out = run(["apt-get", "-s", "-q", "remove", *names])
        rows = [line.split() for line in out.splitlines()]
        gone = {row[1].split(":")[0] for row in rows if len(row) > 1 and row[0] == "Remv"}
        return gone if rc == 0 else None
    rc, _ = run(["rpm", "-e", "--test", *names])
    return set(names) if rc == 0 else None


def removable(names):
    """(to remove, {kept: why}) of the packages among `names` that are installed."""
    present = installed() or set()
    here = [name for name in names if name in present]
    if not here:
        return [], {}
    gone = would_go(here)
    if gone is not None and gone <= set(here):
        return here, {}
    alone = {name: would_go([name]) for name in here}
    good = [name for name in here if alone[name] is not None and alone[name] <= set(here)]
    together = would_go(good) if good else set()
    if together is None or not together <= set(here):
        good = []
    return good, {name: "another package needs it" for name in here if name not in good}


def engine_in_use():
    """Why Docker must stay: containers or volumes that are not ours; empty when it may go."""
    if not shutil.which("docker"):
        return ""
    found = []
    for what, argv in (("containers", ["ps", "-aq"]), ("volumes", ["volume", "ls", "-q"])):
        rc, out = run(["docker", *argv])
        if rc == 0 and out.split():
            found.append("%d %s" % (len(out.split()), what))
    return "Docker still holds " + " and ".join(found) if found else ""


def remove(names):
    if shutil.which("apt-get"):
        rc, out = run(["apt-get", "-y", "-q", "purge", *names])
    else:
        rc, out = run([shutil.which("dnf") or "yum", "-y", "remove", "--noautoremove", *names])
    if rc != 0:
        raise Trouble("packages cannot be removed: %s; remove them by hand: %s" % (out.strip()[-300:], " ".join(names)))
