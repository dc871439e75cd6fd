#!/usr/bin/python
"""Installs one verified release of Ollama next to the others and switches a link to it."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_fetch import (
    CHUNK,
    UNPACKED_FACTOR,
    download,
    fetch,
    require_space,
)
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import (
    Trouble,
    remove,
    sync_directory,
    write_atomic,
)
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_releases import (
    INCOMING,
    MARKER,
    absent,
    alone,
    linked,
    read_marker,
    retire,
    stale,
    versions,
)
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import logins
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_unpack import audit_links, unpack

DOCUMENTATION = r"""
module: ollama_release
short_description: Install a release of Ollama, verified before it is unpacked
description:
  - Downloads archives (resumable) or uses local ones, verifies their SHA-256, unpacks them into one directory per
    version and switches a link to it atomically. The next run completes one that was killed.
options:
  version: {description: Version; with I(state=absent), the default is all versions., type: str}
  archives:
    description: The base archive, then add-ons that are unpacked over it.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: File name; the default is the end of I(url) or I(path)., type: str}
      url: {description: Where to download the archive., type: str}
      path: {description: Archive on the host; takes precedence over I(url)., type: path}
      sha256: {description: Expected SHA-256., type: str}
      proof: {description: Who vouches for I(sha256)., type: str, choices: [table, user, release-file]}
      source: {description: Where the archive is on the controller; not used here., type: str}
      checksum_url: {description: The release's own checksum file; used without I(sha256)., type: str}
  dest: {description: Directory of all versions., type: path, default: /opt/ollama}
  link: {description: Link to the version in use; the default is C(current) in I(dest)., type: path}
  proxy: {description: Proxy for downloads; the default is that of the environment., type: str}
  keep: {description: How many old versions to keep; the previous one is always kept., type: int, default: 1}
  state: {description: Whether the version is installed., type: str, choices: [present, absent], default: present}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Ollama 0.35.1
  reaper_ops.ollama.ollama_release:
    version: 0.35.1
    archives:
      - url: https://mirror.example/v0.35.1/ollama-linux-amd64.tar.zst
        sha256: c620917a71e146ab3a7f893084f066069c4c65d144ef8379a91c3cbe8b27de8f
"""
RETURN = r"""
path: {description: Directory of the version., type: str, returned: always}
verified_by: {description: The weakest proof; table, user or release-file., type: str, returned: present}
archives: {description: SHA-256 of each archive., type: dict, returned: present}
previous: {description: Version that the link pointed to before., type: str, returned: always}
pruned: {description: Versions removed., type: list, elements: str, returned: always}
bytes: {description: Bytes downloaded., type: int, returned: always}
"""
WITNESSES = ("table", "user", "release-file")
STEPS = {
    "user": "compare ollama_release_sha256 with the checksum that Ollama publishes for %(name)s: if the setting is "
    "wrong, correct it; if it is right, the archive is damaged or foreign: copy it again to %(place)s",
    "table": "the archive is not what Ollama published as %(name)s: copy it again to %(place)s; for a build of your "
    "own, set ollama_release_sha256 to its SHA-256",
    "release-file": "%(place)s and its checksum file disagree: copy both again from the same release, or set "
    "ollama_release_sha256 to the SHA-256 that you trust",
}


class Refused(Trouble):
    """An archive that differs from what was expected; the next step depends on where the expectation comes from."""

    def __init__(self, archive, got, want, witness):
        place = archive["source"] or archive["path"] or archive["url"]
        text = "%s: SHA-256 is %s, expected %s (%s); nothing was unpacked: the file is damaged or foreign"
        super().__init__(text % (place, got, want, witness))
        self.next_step = STEPS[witness] % {"name": archive_name(archive), "place": place}


def archive_name(archive):
    return archive["name"] or os.path.basename((archive["path"] or archive["url"].split("?")[0]).rstrip("/"))


def complete(directory, archives):
    """Whether `directory` holds exactly these archives; a given checksum must be the recorded one."""
    have = (read_marker(directory) or {}).get("archives", {})
    if set(have) != {archive_name(archive) for archive in archives}:
        return False
    return all(have[archive_name(a)] == (a["sha256"] or have[archive_name(a)]).lower() for a in archives)


def link_target(link, directory):
    parent = os.path.dirname(link)
    inside = os.path.commonpath([parent, directory]) == parent
    return os.path.relpath(directory, parent) if inside else directory


def switch(link, target):
    temporary = "%s.tmp-%d" % (link, os.getpid())
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, link)
    sync_directory(os.path.dirname(link))


def digest(file):
    """SHA-256 of an open file, from its start."""
    total = hashlib.sha256()
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    for block in iter(lambda: os.read(file.fileno(), CHUNK), b""):
        total.update(block)
    return total.hexdigest()


def wanted_digest(archive):
    """The expected SHA-256 and who vouches for it."""
    name = archive_name(archive)
    if archive["sha256"]:
        return archive["sha256"].lower(), archive["proof"] or "table"
    if not archive["checksum_url"]:
        raise Trouble("%s: no checksum is known; set ollama_release_sha256" % name)
    place = archive["checksum_url"]
    try:
        with tree.reading(place) if place.startswith("/") else fetch(place) as answer:
            text = answer.read(CHUNK).decode("utf-8", "replace")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Trouble("%s: cannot be read: %s; set ollama_release_sha256" % (archive["checksum_url"], error)) from None
    for line in text.splitlines():
        match = re.match(r"^([0-9a-fA-F]{64})\s{1,8}\*?(?:\./)?(\S{1,256})\s{0,8}$", line)
        if match and match.group(2) == name:
            return match.group(1).lower(), "release-file"
    raise Trouble("%s: does not list %s; set ollama_release_sha256" % (place, name))


def given(archive, dest):
    """An archive on the host, opened. One that another user could still write to is copied first."""
    path, name = archive["path"], archive_name(archive)
    try:
        file = tree.reading(path)
    except FileNotFoundError:
        raise Trouble("%s: no such file; put the archive there" % path) from None
    with contextlib.ExitStack() as stack:
        stack.enter_context(file)
        info = os.fstat(file.fileno())
        safe = tree.shielded(info) and not tree.exposed(os.path.dirname(path))
        require_space(dest, (UNPACKED_FACTOR + (not safe)) * info.st_size, name)
        if safe:
            stack.pop_all()
            return file
        return copied(file, dest)


def copied(file, dest):
    """Has no name, so that it disappears with the process that has it open."""
    with tree.directory(os.path.join(dest, INCOMING), make=0o700) as fd:
        copy = os.fdopen(os.open("copy", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=fd), "w+b")
        os.unlink("copy", dir_fd=fd)
    shutil.copyfileobj(file, copy, CHUNK)
    copy.flush()
    return copy


def downloaded(archive, part, dest, want):
    """The open file and the bytes received; discards what an earlier run left of another file."""
    resumed = os.path.exists(part)
    received = download(archive["url"], part, dest)
    file = tree.reading(part)
    if digest(file) != want and resumed:
        file.close()
        os.unlink(part)
        received += download(archive["url"], part, dest)
        file = tree.reading(part)
    return file, received


def obtain(archive, dest, version):
    """The verified archive: the open file, its SHA-256, the proof and the bytes downloaded."""
    want, witness = wanted_digest(archive)
    part = os.path.join(dest, ".%s-%s.part" % (version, archive_name(archive)))
    file, received = (given(archive, dest), 0) if archive["path"] else downloaded(archive, part, dest, want)
    got = digest(file)
    if got != want:
        file.close()
        raise Refused(archive, got, want, witness)
    return file, want, witness, received


def install(params, directory):
    """Unpacks every archive next to `directory`, writes the marker and renames it into place."""
    dest, version = params["dest"], params["version"]
    if os.path.lexists(directory) and not read_marker(directory):
        raise Trouble("%s: exists, but was not written by reaper_ops; move it away" % directory)
    temporary = os.path.realpath(os.path.join(dest, ".%s.tmp-%d" % (version, os.getpid())))
    with contextlib.ExitStack() as stack:
        parts = []
        for archive in params["archives"]:
            parts.append(obtain(archive, dest, version))
            stack.enter_context(parts[-1][0])
        os.mkdir(temporary, 0o755)
        for at, archive in enumerate(params["archives"]):
            unpack(parts[at][0], archive["path"] or archive_name(archive), temporary)
        audit_links(temporary)
        if not os.access(os.path.join(temporary, "bin", "ollama"), os.X_OK):
            raise Trouble("%s: the archives contain no program bin/ollama; check the list of archives" % version)
        write_marker(temporary, params, parts)
    retire(dest, version)
    os.rename(temporary, directory)
    sync_directory(dest)
    return sum(part[3] for part in parts)


def write_marker(directory, params, parts):
    names = [archive_name(archive) for archive in params["archives"]]
    marker = {
        "version": params["version"],
        "archives": {name: parts[at][1] for at, name in enumerate(names)},
        "verified_by": max((part[2] for part in parts), key=WITNESSES.index),
    }
    write_atomic(os.path.join(directory, MARKER), json.dumps(marker, indent=1, sort_keys=True) + "\n")


def prunable(params, current, previous):
    others = [name for name in versions(params["dest"]) if name not in (current, previous)]
    return others[max(params["keep"], 1) - (1 if previous else 0) :]


def previous_version(params, before):
    """What the link pointed to before, otherwise the version that was in use most recently."""
    if before not in (None, params["version"]):
        return before
    return next((name for name in versions(params["dest"]) if name != params["version"]), None)


def present(module):
    params = module.params
    directory = os.path.join(params["dest"], params["version"])
    target = link_target(params["link"], directory)
    before = linked(params["link"])
    unpacked = complete(directory, params["archives"])
    switched = not os.path.islink(params["link"]) or os.readlink(params["link"]) != target
    previous = previous_version(params, before)
    doomed = prunable(params, params["version"], previous)
    result = {"path": directory, "previous": previous, "pruned": doomed, "bytes": 0}
    result["changed"] = not unpacked or switched or bool(doomed)
    names = sorted(archive_name(archive) for archive in params["archives"])
    result["diff"] = {
        "before": json.dumps({"link": before, "archives": names if unpacked else []}) + "\n",
        "after": json.dumps({"link": params["version"], "archives": names}) + "\n",
    }
    if not module.check_mode:
        wanted = None if unpacked else params["version"]
        result["bytes"] = bring(params, directory, wanted, target if switched else None, doomed)
    marker = read_marker(directory) or {}
    result["archives"] = marker.get("archives", {archive_name(a): a["sha256"] for a in params["archives"]})
    result["verified_by"] = marker.get("verified_by")
    return result


def bring(params, directory, wanted, target, doomed):
    with alone(params["dest"]):
        for path in stale(params, wanted):
            remove(path)
        try:
            received = install(params, directory) if wanted else 0
        finally:
            for path in stale(params):
                remove(path)
        if target:
            os.utime(os.path.join(directory, MARKER))
            if os.path.isdir(params["link"]) and not os.path.islink(params["link"]):
                raise Trouble("%s: is a directory, not a link; move it away" % params["link"])
            switch(params["link"], target)
        for name in doomed:
            retire(params["dest"], name)
        for path in stale(params):
            remove(path)
        return received


ARCHIVE = {
    "url": {"type": "str"},
    "path": {"type": "path"},
    "sha256": {"type": "str"},
    "proof": {"type": "str", "choices": ["table", "user", "release-file"]},
    "name": {"type": "str"},
    "source": {"type": "str"},
    "checksum_url": {"type": "str"},
}
SPEC = {
    "version": {"type": "str"},
    "archives": {
        "type": "list",
        "elements": "dict",
        "options": ARCHIVE,
        "required_one_of": [("url", "path")],
        "default": [],
    },
    "dest": {"type": "path", "default": "/opt/ollama"},
    "link": {"type": "path"},
    "proxy": {"type": "str"},
    "keep": {"type": "int", "default": 1},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def main():
    module = AnsibleModule(SPEC, supports_check_mode=True)
    params = module.params
    module.no_log_values |= logins([params["proxy"], *(url for row in params["archives"] for url in row.values())])
    os.umask(0o022)
    if params["proxy"]:
        os.environ.update(dict.fromkeys(("http_proxy", "https_proxy"), params["proxy"]))
    params["link"] = params["link"] or os.path.join(params["dest"], "current")
    if params["state"] == "present" and not (params["version"] and params["archives"]):
        module.fail_json(msg="ollama_release: state present needs version and archives")
    try:
        module.exit_json(**(present(module) if params["state"] == "present" else absent(params, module.check_mode)))
    except Trouble as trouble:
        module.fail_json(msg=str(trouble), next_step=getattr(trouble, "next_step", ""))
    except OSError as error:
        place = error.filename or params["dest"]
        module.fail_json(msg="%s: %s; check free space and permissions there" % (place, error.strerror))


if __name__ == "__main__":
    main()
