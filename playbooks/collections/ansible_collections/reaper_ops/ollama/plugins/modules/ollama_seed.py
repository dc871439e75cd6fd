#!/usr/bin/python
"""Downloads every wanted blob once, verifies it, and seeds a swarm: a tracker for these blobs only, and aria2."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import http.client
import os
import secrets
import socket
import time
import urllib.error
import urllib.request

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_answers
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_aria2 import Keeper, end, running
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble, write_atomic
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_progress import Progress, Stopped
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_registry import (
    ACCEPT,
    TIMEOUT,
    Onward,
    blobs,
    free_space,
    received,
)
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_staging import guest_for, quarters, settle
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_torrent import named, read, torrent
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_tracker import serve
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_tree import acting_as, remove_path, writer_of

DOCUMENTATION = r"""
module: ollama_seed
short_description: Seed a swarm of models
description:
  - Downloads blobs once from the registry or the site mirror (resumable) and verifies their SHA-256. Then a tracker
    and aria2 run until C(ended), or until no host has needed anything for five minutes.
  - Small blobs and manifests are part of the result; they are sent with the tasks of the hosts.
options:
  state: {description: What to do., type: str, choices: [present, ended], default: present}
  models: {description: "By name: where manifest and blobs are (C(manifest), C(blob)).", type: dict, default: {}}
  locked: {description: Digest and blobs of models by name., type: dict, default: {}}
  dir: {description: Where blobs are kept during the swarm., type: path, required: true}
  address: {description: Address of this machine in the hosts' network., type: str, default: ""}
  port: {description: Port of the tracker., type: int, default: 6969}
  purge: {description: "With C(ended): remove the blobs too.", type: bool, default: false}
  owner: {description: Who runs this., type: str, default: ""}
  proxy: {description: Proxy to the registry., type: str, default: ""}
  limit_rate: {description: Maximum bytes per second from registry or mirror; 0 for no limit., type: str, default: "0"}
  progress_file: {description: Snapshot of the progress while the module runs., type: path}
  heartbeat: {description: File that the caller touches; the download ends when it grows old., type: path}
  abandoned: {description: Seconds after which that file is old., type: int, default: 120}
  retries: {description: Further attempts for each blob., type: int, default: 4}
  stall_timeout: {description: Seconds without new bytes before a new attempt., type: int, default: 75}
  min_free: {description: Bytes of disk space that must stay free., type: int, default: 1073741824}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Seed from the mirror
  reaper_ops.ollama.ollama_seed:
    dir: /var/lib/reaper_mirror/swarm
    address: 192.0.2.10
    models:
      "llama3:8b":
        manifest: http://localhost/v2/library/llama3/manifests/8b
        blob: http://localhost/v2/library/llama3/blobs/
"""
RETURN = r"""
swarm: {description: "Models, torrents and small blobs, for ollama_swarm.", type: dict, returned: when present}
"""
SMALL = 64 << 10
PAUSE, PATIENCE, SETTLE = 0.25, 15, 0.8
TAKEN = "the tracker does not start at %s:%d: %s; check what uses that port, or give another --seed-address"
MOVED = "the tag has moved: `reaper-ops models update` updates the lock"


def tidy(directory, purge):
    for name in os.listdir(directory) if purge else ():
        if name.startswith("sha256-") or name in ("whitelist", "log"):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(directory, name))


class Stalled(Exception):
    """No new bytes for too long, or aria2 gave up."""


class Source:
    """Registry or mirror, by plain requests."""

    def __init__(self, proxy):
        self.proxy = urllib.request.ProxyHandler({"https": proxy} if proxy else {})

    def get(self, url, limit, stores=False):
        request = urllib.request.Request(url, headers={"Accept": ACCEPT, "User-Agent": "reaper_ops"})
        try:
            with urllib.request.build_opener(self.proxy, Onward(stores)).open(request, timeout=TIMEOUT) as answer:
                return received(answer, limit)
        except urllib.error.HTTPError as error:
            raise Trouble("%s answers %d %s" % (url, error.code, error.reason)) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Trouble("%s does not answer: %s" % (url, getattr(error, "reason", error))) from None


class Seed:
    def __init__(self, params, progress, here, user):
        self.params, self.progress, self.source = params, progress, Source(params["proxy"])
        self.dir, self.user = here, user
        self.torrents, self.small, self.salt = {}, {}, secrets.token_hex(16)
        self.announce = "http://%s:%d/announce" % (params["address"], params["port"])
        self.options = {"https-proxy": params["proxy"]} if params["proxy"] else {}
        self.keeper = self.keeping()
        self.client = None

    @property
    def whitelist(self):
        return os.path.join(self.dir, "whitelist")

    def keeping(self, **more):
        return Keeper(
            self.dir,
            self.params["owner"],
            user=self.user,
            also=functools.partial(serve, self.whitelist, self.params["address"], self.params["port"]),
            tidy=functools.partial(tidy, self.dir),
            options={"max-overall-download-limit": self.params["limit_rate"], **self.options, **more},
        )

    def at(self, digest):
        return os.path.join(self.dir, named(digest))

    def seed(self):
        self.client = self.keeper.start()
        told = {}
        for name, where in self.params["models"].items():
            try:
                told[name] = self.model(name, where)
            except Trouble as trouble:
                step = MOVED if "was locked" in str(trouble) else "run again: downloaded data is kept"
                told[name] = {"error": "the seed could not download it: %s" % trouble, "next_step": step}
        if not self.torrents:
            end(self.dir)
            return {"models": told, "small": self.small, "torrents": {}}
        self.fleet_only()
        self.open([one for _, one in self.torrents.values()])
        gids = [self.client.add_torrent(data, self.dir, named(one)) for one, (data, _) in self.torrents.items()]
        self.wait(gids, "hashing the blobs to seed", lambda row: row.get("seeder") == "true")
        self.keeper.delivered()
        torrents = {digest: base64.b64encode(data).decode() for digest, (data, _) in self.torrents.items()}
        return {"models": told, "small": self.small, "torrents": torrents, "address": self.params["address"]}

    def fleet_only(self):
        """From now on it serves hosts, which may be on another network than the registry."""
        end(self.dir)
        self.keeper = self.keeping(interface=self.params["address"])
        self.client = self.keeper.start()

    def model(self, name, where):
        data = self.source.get(where["manifest"], reaper_answers.MANIFEST)
        digest, promised = hashlib.sha256(data).hexdigest(), self.params["locked"].get(name)
        wanted = promised["digest"].rpartition(":")[2] if promised else digest
        if wanted != digest:
            raise Trouble("%s differs from the lock: %s, not %s" % (where["manifest"], digest[:12], wanted[:12]))
        sizes = blobs(where["manifest"], data)
        self.progress.model_starts(name, sizes, None)
        self.need_room(name, sizes)
        for one, size in sizes.items():
            if one not in self.small and one not in self.torrents:
                self.blob(one, size, where["blob"] + one)
        return {"digest": digest, "manifest": base64.b64encode(data).decode(), "blobs": sizes}

    def need_room(self, name, sizes):
        missing = sum(size for one, size in sizes.items() if not os.path.exists(self.at(one)))
        free = free_space(self.dir)
        if missing + self.params["min_free"] > free:
            numbers = (name, missing / 1e9, self.params["min_free"] / 1e9, self.dir, free / 1e9)
            raise Trouble("%s needs %.1f GB and %.1f GB must stay free, but %s has only %.1f GB" % numbers)

    def blob(self, digest, size, url):
        if size < SMALL:
            data = self.source.get(url, SMALL, stores=True)
            if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
                raise Trouble("%s comes damaged" % url)
            self.small[digest] = base64.b64encode(data).decode()
            return
        for attempt in range(self.params["retries"] + 1):
            error = self.fetch(digest, size, url)
            if not error:
                found, pieces = read(self.at(digest), size)
                if "sha256:" + found == digest:
                    self.torrents[digest] = torrent(named(digest), size, pieces, self.announce, self.salt)
                    self.progress.tally.done.add(digest)
                    return
                error = "%s comes damaged" % url
                os.unlink(self.at(digest))
            self.progress.event({"status": "waiting after: %s" % error}, force=True)
            time.sleep(min(2**attempt, 60) if attempt < self.params["retries"] else 0)
        raise Trouble(error)

    def fetch(self, digest, size, url):
        """Empty when the file is complete; data downloaded before an error stays for the next attempt."""
        path = self.at(digest)
        if os.path.exists(path) and os.path.getsize(path) == size and not os.path.exists(path + ".aria2"):
            return ""
        gid = self.client.add_url(url, self.dir, named(digest))
        try:
            self.wait([gid], "pulling to the seed", lambda row: row["status"] == "complete", (digest, size))
        except Stalled as stalled:
            return "%s: %s" % (url, stalled)
        finally:
            self.client.forget(gid)
        return ""

    def wait(self, gids, status, done, of=("", 0)):
        before, since = -1, time.monotonic()
        while True:
            rows = [self.client.state(gid) for gid in gids]
            wrong = [row.get("errorMessage") or "aria2 gave up" for row in rows if row["status"] == "error"]
            if wrong:
                raise Stalled(wrong[0])
            if all(done(row) for row in rows):
                return
            count = sum(int(row["completedLength"]) + int(row.get("verifiedLength") or 0) for row in rows)
            if count != before:
                before, since = count, time.monotonic()
            elif time.monotonic() - since > self.params["stall_timeout"]:
                raise Stalled("stalled: no new bytes for %d s" % self.params["stall_timeout"])
            self.progress.event({"status": status, "digest": of[0], "completed": count, "total": of[1]})
            time.sleep(PAUSE)

    def open(self, hashes):
        """Starts the tracker when the list of what it serves is complete."""
        write_atomic(self.whitelist, "".join(one + "\n" for one in hashes), 0o600)
        write_atomic(self.keeper.mark("also"), "", 0o600)
        place, until = (self.params["address"], self.params["port"]), time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                socket.create_connection(place, timeout=2).close()
                time.sleep(SETTLE)
                if running(self.dir):
                    return
                break
            time.sleep(0.2)
        raise Trouble(TAKEN % (*place, self.keeper.said()))


def begun(params, here):
    """Allows one swarm at a time per seed; ends an abandoned one of the same owner."""
    row = running(here)
    if row and row.get("owner") != params["owner"]:
        age = time.time() - row.get("since", 0)
        raise Trouble(
            "%s: %s has been seeding another swarm here for %d s; wait for it to end"
            % (params["dir"], row["owner"], age)
        )
    end(here)


def place(path):
    """Where aria2 works for this directory, and as whom where the directory is root's own."""
    guest = guest_for(path)
    return (quarters(path, "work"), guest) if guest else (path, None)


def bring(module):
    params = module.params
    if module.check_mode:
        return {"swarm": {"models": {}, "small": {}, "torrents": {}}}
    progress = Progress(params)
    try:
        here, user = readied(params["dir"])
        with acting_as(user):
            begun(params, here)
            return {"swarm": Seed(params, progress, here, user).seed(), "changed": True}
    finally:
        progress.end()


def readied(path):
    """Makes the directory: where in it is worked, and by whom, who may be shut out on the way to it."""
    user = writer_of(path)
    with acting_as(user):
        os.makedirs(path, mode=0o755, exist_ok=True)
    here, guest = place(path)
    if guest:
        settle(here, guest)
    return here, guest or user


def ended(params):
    path = params["dir"]
    if not os.path.isdir(path):
        return {"changed": False}
    here, guest = place(path)
    with acting_as(guest or writer_of(path)):
        was = end(here, params["purge"])
        if params["purge"] and os.path.isdir(here):
            tidy(here, True)
    if guest and params["purge"]:
        remove_path(here)
    return {"changed": was}


def main():
    spec = {
        "state": {"type": "str", "choices": ["present", "ended"], "default": "present"},
        "models": {"type": "dict", "default": {}},
        "locked": {"type": "dict", "default": {}},
        "dir": {"type": "path", "required": True},
        "address": {"type": "str", "default": ""},
        "port": {"type": "int", "default": 6969},
        "purge": {"type": "bool", "default": False},
        "owner": {"type": "str", "default": ""},
        "proxy": {"type": "str", "default": "", "no_log": True},
        "limit_rate": {"type": "str", "default": "0"},
        "progress_file": {"type": "path"},
        "heartbeat": {"type": "path"},
        "abandoned": {"type": "int", "default": 120},
        "retries": {"type": "int", "default": 4},
        "stall_timeout": {"type": "int", "default": 75},
        "min_free": {"type": "int", "default": 1 << 30},
    }
    module = AnsibleModule(spec, supports_check_mode=True)
    try:
        found = ended(module.params) if module.params["state"] == "ended" else bring(module)
    except Trouble as trouble:
        module.fail_json(msg=str(trouble))
    except Stalled as stalled:
        module.fail_json(msg="%s: %s; run again" % (module.params["dir"], stalled))
    except OSError as error:
        module.fail_json(msg="%s: %s" % (error.filename or module.params["dir"], error.strerror))
    except Stopped:
        module.fail_json(msg="the controller is gone; run again, downloaded data is kept")
    module.exit_json(**found)


if __name__ == "__main__":
    main()
