#!/usr/bin/python
"""Installs packages with apt; a broken source does not block packages from the other sources."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import write_atomic

DOCUMENTATION = r"""
module: apt_packages
short_description: Install packages from apt, even if one of its sources is broken
description:
  - Fetches the lists of all sources and continues when some do not answer. Fails only when a package cannot be
    installed; the message then names the package, the sources that did not answer, and why.
options:
  names: {description: The packages., type: list, elements: str, required: true}
  max_age: {description: Lists younger than this many seconds are not fetched again., type: int, default: 0}
  recommends: {description: Whether to install recommended packages too., type: bool, default: true}
  services: {description: Whether the packages' services are started., type: bool, default: true}
  options: {description: Options for every call of apt; for tests., type: list, elements: str, default: []}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Install packages
  reaper_ops.ollama.apt_packages: {names: [zstd], recommends: false}
"""
RETURN = r"""
broken: {description: Sources that did not answer, and why., type: list, elements: str, returned: always}
next_step: {description: What to do when a package cannot be installed., type: str, returned: failure}
"""
SECONDS = 1800
LISTS = "/var/lib/apt/lists"
POLICY = "/usr/sbin/policy-rc.d"
DPKG = ("Dpkg::Options::=--force-confdef", "Dpkg::Options::=--force-confold", "DPkg::Lock::Timeout=60")
FETCHING = ("Acquire::Retries=2", "DPkg::Lock::Timeout=60")
UNFETCHED = re.compile(r"^[WE]: (?:Failed to fetch|The repository '|GPG error: |An error occurred .*GPG error: )(.*)")
PASSING = "Some index files failed to download"


def run(argv):
    """(exit code, lines)"""
    env = dict(os.environ, LC_ALL="C", DEBIAN_FRONTEND="noninteractive", DEBIAN_PRIORITY="critical")
    try:
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env, timeout=SECONDS
        )
    except FileNotFoundError:
        return 127, ["E: %s is not installed on this host" % argv[0]]
    except subprocess.TimeoutExpired:
        return 124, ["E: %s did not finish within %d s" % (" ".join(argv[:2]), SECONDS)]
    return done.returncode, [line.strip() for line in done.stdout.decode("utf-8", "replace").splitlines()]


def apt(words, *options):
    return run(["apt-get", *[word for option in options for word in ("-o", option)], *words])


def missing(names, options):
    """The packages that are not installed; a package unknown to dpkg counts as not installed."""
    status = [o.split("=", 1)[1] for o in options if o.startswith("Dir::State::status=")]
    where = ["--admindir=" + os.path.dirname(status[0])] if status else []
    _, lines = run(["dpkg-query", *where, "-W", "-f", "${db:Status-Abbrev} ${Package}\n", *names])
    there = {line.split()[-1] for line in lines if line.startswith(("ii ", "hi "))}
    return [name for name in names if name not in there]


def broken_sources(lines):
    """Each source that did not answer, listed once, with apt's reason."""
    found = {}
    for line in lines:
        match = UNFETCHED.match(line)
        if match and PASSING not in line:
            text = match.group(1).strip()
            found.setdefault(re.split(r"[ ']", text, maxsplit=1)[0], text)
    return list(found.values())


def complaints(lines):
    return [line[3:] for line in lines if line.startswith("E: ")]


def are_fresh(max_age):
    """Whether the lists were fetched within that many seconds; they may have been emptied since."""
    try:
        return bool(max_age) and time.time() - os.stat(LISTS).st_mtime < max_age
    except OSError:
        return False


def refresh(options):
    """Sources that did not answer. Raises when apt cannot read its sources at all."""
    rc, lines = apt(["update"], *FETCHING, *options)
    broken = broken_sources(lines)
    if rc and not broken:
        raise Refused(
            "apt cannot fetch its lists: %s" % "; ".join(complaints(lines)[:3] or ["exit code %d" % rc]),
            "as root on the host: `apt-get update`, fix what it reports, then run again",
        )
    return broken


class Refused(Exception):
    """(problem, next step)"""


def place_of(source):
    """The file that names a source that did not answer."""
    url = re.split(r"[ ']", source, maxsplit=1)[0]
    base = url.split("/dists/")[0].rstrip("/")
    for directory, _, files in os.walk("/etc/apt"):
        for name in sorted(files):
            path = os.path.join(directory, name)
            if name.endswith((".list", ".sources")):
                with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
                    if base in file.read():
                        return path
    return ""


@contextlib.contextmanager
def no_services(wanted):
    """Services of packages stay off, unless the host's own policy decides what starts."""
    if wanted or os.path.lexists(POLICY):
        yield
        return
    write_atomic(POLICY, "#!/bin/sh\nexit 101\n", 0o755)
    try:
        yield
    finally:
        os.unlink(POLICY)


def install(names, recommends, options, broken):
    words = ["-y", "-q", *([] if recommends else ["--no-install-recommends"]), "install", *names]
    rc, lines = apt(words, *DPKG, *options)
    if not rc:
        return
    reason = "; ".join(complaints(lines)[:3]) or "apt-get ended with %d" % rc
    problem = "%s cannot be installed: %s" % (", ".join(names), reason)
    step = "as root on the host: `apt-get install %s`, fix what it reports, then run again" % " ".join(names)
    if broken:
        problem += "; these apt sources did not answer: " + "; ".join(broken[:3])
        where = sorted(set(filter(None, map(place_of, broken))))
        step = "repair or remove the source%s until `apt-get update` succeeds, then run again" % (
            " in " + ", ".join(where) if where else ""
        )
    raise Refused(problem, step)


def main():
    module = AnsibleModule(
        {
            "names": {"type": "list", "elements": "str", "required": True},
            "max_age": {"type": "int", "default": 0},
            "recommends": {"type": "bool", "default": True},
            "services": {"type": "bool", "default": True},
            "options": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    names = missing(given["names"], given["options"])
    if module.check_mode or not names:
        module.exit_json(changed=bool(names), broken=[])
    broken, fresh = [], are_fresh(given["max_age"])
    try:
        with no_services(given["services"]):
            broken = [] if fresh else refresh(given["options"])
            try:
                install(names, given["recommends"], given["options"], broken)
            except Refused:
                if not fresh:
                    raise
                broken = refresh(given["options"])
                install(names, given["recommends"], given["options"], broken)
    except Refused as refused:
        module.fail_json(msg=refused.args[0], next_step=refused.args[1], broken=broken)
    except OSError as error:
        module.fail_json(msg="%s: %s" % (error.filename, error.strerror), broken=broken)
    module.exit_json(changed=True, broken=broken)


if __name__ == "__main__":
    main()
