"""Removes what a manifest lists, kind by kind, in an order that stops a server before its files are removed."""

from __future__ import annotations

import json
import os
import shutil

from ansible_collections.reaper_ops.ollama.plugins.module_utils import (
    reaper_before,
    reaper_packages,
    reaper_predecessor,
    reaper_process,
    reaper_releases,
    reaper_swap,
)
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_emptying import (
    empty,
    is_directory,
    litter,
    parts_of,
    sweep,
)
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import (
    Trouble,
    read_json,
    unlink,
    write_atomic,
)
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_ownership import (
    EXISTS,
    beneath,
    files_beneath,
    json_value,
    points_to,
    sha256,
)
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_packages import run

NOTES = ("pulls.json", "pull.lock")
"""Files that pulls write next to the manifest."""
ENGINE_KINDS = ("projects", "containers", "volumes", "images")
STOP_TIMEOUT = 30


class Removal:
    """removed and kept are lines for people; left is what a later run must still know."""

    def __init__(self, manifest, path, check, purge_models, force):
        self.manifest, self.path = manifest, path
        self.check, self.purge_models, self.force = check, purge_models, force
        self.existed = set(manifest.get("existed", []))
        self.removed, self.kept, self.left = [], [], {}
        self.gone = [path, *(os.path.join(os.path.dirname(path), name) for name in (*NOTES, reaper_before.NAME))]
        self.groups_now = [name for name in manifest.get("groups", []) if EXISTS["groups"](name, manifest)]
        self.engine = engine_state(manifest)
        self.before, self.ours = reaper_before.read(path), {}
        self.existed |= {"directories %s" % name for name in self.before.get("owners", {})}
        self.done, self.stands_on = set(), ""

    def run(self):
        for kind, remove in ORDER.items():
            entries = self.manifest.get(kind, {})
            names = sorted(entries, key=lambda path: -path.count("/")) if kind in DEEPEST_FIRST else list(entries)
            for name in names:
                self.one(kind, name, remove)
        if self.manifest.get("units") and not self.check:
            run(["systemctl", "daemon-reload"])
        self.packages()

    def one(self, kind, name, remove):
        if (kind, name) in self.done:
            return
        self.done.add((kind, name))
        if "%s %s" % (kind, name) in self.existed:
            if kind in ("files", "links") and os.path.lexists(name):
                self.keep(kind, name, "existed before reaper_ops", again=False)
            if kind in DEEPEST_FIRST:
                self.tidy(kind, name)
            if kind in DEEPEST_FIRST and name in self.before.get("owners", {}):
                self.owner(kind, name)
            return
        if kind in ENGINE_KINDS and self.engine:
            if self.engine == "silent":
                self.keep(kind, name, "the Docker engine does not answer; start it, then run again")
            return
        try:
            remove(self, name, self.manifest[kind])
        except (Trouble, OSError) as trouble:
            self.keep(kind, name, str(trouble))

    def owner(self, kind, path):
        """Gives an existing directory back to its former owner."""
        try:
            why = reaper_before.owner_back(path, self.before["owners"][path], self.check, kind == "homes")
        except OSError as error:
            why = str(error)
        if why:
            self.keep(kind, path, why, again=False)

    def tidy(self, kind, home):
        """Keeps a home that existed before; removes what the server wrote into it, and a store that we created."""
        try:
            if "litter %s" % home not in self.existed:
                self.removed += ["file %s" % path for path in sweep(home, self.check)]
        except OSError as error:
            self.keep(kind, home, "the server's files stay in it: %s" % error, again=False)
        for store in self.before.get("made", []):
            if beneath(store, home) and is_directory(store) and not files_beneath(store, self.gone):
                self.drop("directories", store, lambda store=store: empty(store))

    def keep(self, kind, name, why, again=True):
        """`again`: a later run must still know about it."""
        self.kept.append("%s %s: %s" % (WORDS[kind], name, why))
        if again:
            self.left.setdefault(kind, []).append(name)

    def drop(self, kind, name, action):
        """Records the removal and, except in check mode, does it."""
        if not self.check:
            action()
        self.removed.append("%s %s" % (WORDS[kind], name))
        if kind in ("files", "links", "swap"):
            self.gone.append(name)

    def processes(self, path, _entries):
        spec = reaper_process.load(path)
        if spec is None:
            return
        pid = reaper_process.find(spec)
        self.gone += [spec["pid"], reaper_process.record_path(spec)]
        if pid or reaper_process.orphans(spec):
            self.drop("processes", path, lambda: reaper_process.stop(spec, pid, STOP_TIMEOUT))
        elif not self.check:
            reaper_process.forget(spec)

    def units(self, name, _entries):
        rc, out = run(["systemctl", "show", name, "-p", "ActiveState", "-p", "UnitFileState"])
        state = dict(line.partition("=")[::2] for line in out.splitlines()) if rc == 0 else {}
        idle = state.get("ActiveState", "inactive") in ("inactive", "failed")
        if idle and not state.get("UnitFileState", "").startswith("enabled"):
            return
        self.drop("units", name, lambda: self.succeed(["systemctl", "disable", "--now", name]))

    def adopted(self, name, entries):
        """Restores a foreign unit: removes our settings first, so that it no longer uses our release."""
        mine = [path for path in self.manifest.get("files", {}) if os.path.dirname(path).endswith("/%s.d" % name)]
        for path in mine:
            self.one("files", path, Removal.files)
        if self.left.get("files"):
            self.stands_on = ", ".join(path for path in self.left["files"] if path in mine)
        if self.stands_on:
            self.keep("adopted", name, "is run by %s, which stays" % self.stands_on)
            return
        self.drop("adopted", name, lambda: reaper_before.give_back(name, entries[name] or {}))

    def projects(self, name, entries):
        label = "label=com.docker.compose.project=" + name
        parts = [run(["docker", *what, "-q", "--filter", label]) for what in (["ps", "-a"], ["network", "ls"])]
        if not any(rc == 0 and out.split() for rc, out in parts):
            return
        given = ["-f", entries[name]] if os.path.exists(entries[name]) else []
        argv = ["docker", "compose", "-p", name, *given, "down", "--remove-orphans"]
        self.drop("projects", name, lambda: self.succeed(argv))

    def containers(self, name, entries):
        """Restores the container that ours replaced, and starts it if it was running."""
        if reaper_predecessor.exists(entries[name]["kept"]):
            self.drop("containers", name, lambda: reaper_predecessor.give_back(name, entries[name]))

    def volumes(self, name, _entries):
        if run(["docker", "volume", "inspect", name])[0] != 0:
            return
        if not self.purge_models:
            self.keep("volumes", name, "holds the models; `--purge-models` removes it", again=False)
            return
        self.drop("volumes", name, lambda: self.succeed(["docker", "volume", "rm", name]))

    def images(self, name, _entries):
        if run(["docker", "image", "inspect", name])[0] != 0:
            return
        self.drop("images", name, lambda: self.succeed(["docker", "image", "rm", name]))

    def swap(self, path, _entries):
        if any(os.path.exists(name) or reaper_swap.active(name) for name in reaper_swap.names(path)):
            self.drop("swap", path, lambda: reaper_swap.destroy(path))

    def fstab(self, path, _entries):
        text = reaper_swap.fstab_text()
        without = reaper_swap.fstab_with(path, "", text)
        if without != text:
            self.drop("fstab", path, lambda: reaper_swap.write_fstab(without))

    def links(self, path, entries):
        if not os.path.lexists(path):
            return
        if not points_to(path, entries[path]) and not self.force:
            self.keep("links", path, "now points elsewhere")
            return
        self.drop("links", path, lambda: unlink(path))

    def releases(self, dest, _entries):
        if self.stands_on:
            self.keep("releases", dest, "a server runs from it, through %s" % self.stands_on)
            return
        params = {"dest": dest, "version": None, "link": os.path.join(dest, "current")}
        outer = os.path.join(os.path.dirname(dest), "current")
        if os.path.islink(outer) and os.path.realpath(outer).startswith(os.path.realpath(dest) + os.sep):
            params["link"] = outer
        doomed = reaper_releases.absent(params, True)
        if doomed["changed"]:
            self.drop("releases", dest, lambda: reaper_releases.absent(params, False))
            self.gone += doomed["diff"]["before"].splitlines()

    def files(self, path, entries):
        for extra in [path + ".1"] if entries[path] is None else []:
            if os.path.exists(extra):
                self.drop("files", extra, lambda extra=extra: unlink(extra))
        if path in self.gone or not os.path.lexists(path):
            return
        ours = [entries[path], *self.manifest.get("former", {}).get(path, [])]
        if entries[path] and not self.force and sha256(path) not in ours:
            self.keep("files", path, "was changed after we wrote it; `--force` removes it anyway")
            return
        self.drop("files", path, lambda: unlink(path))

    def json(self, path, entries):
        recorded = self.manifest.get("json_values", {}).get(path, {})
        mine = [key for key in entries[path] if "json %s %s" % (path, key) not in self.existed]
        now = json_value(path, mine)
        changed = [key for key in now if not self.force and now[key] != recorded.get(key, now[key])]
        for key in changed:
            self.keep("json", "%s %s" % (path, key), "was changed after we wrote it", again=False)
        doomed = [key for key in now if key not in changed]
        if doomed:
            rest = without_keys(read_json(path), doomed)
            unneeded = not rest and "jsonfile %s" % path not in self.existed
            self.gone += [path] if unneeded else []
            text = json.dumps(rest, indent=4) + "\n"
            action = (lambda: unlink(path)) if unneeded else (lambda: write_atomic(path, text))
            self.drop("json", "%s %s" % (path, " ".join(doomed)), action)
        backup = path + ".reaper_ops.bak"
        if os.path.exists(backup):
            self.drop("files", backup, lambda: unlink(backup))

    def models(self, path, _entries):
        """Files that were in the store before us always stay."""
        doomed, others = parts_of(path), 0
        if doomed:
            names, others = reaper_before.ours_in(path, self.before)
            self.ours[path] = [] if self.purge_models else names
            doomed = [os.path.join(path, name) for name in names] if others else doomed
        if others:
            self.keep("models", path, "%d files of models that existed before reaper_ops" % others, again=False)
        if files_beneath(path) and doomed and not self.purge_models:
            self.keep("models", path, "models stay; `--purge-models` removes them", again=False)
        elif doomed:
            self.drop("models", path, lambda: self.purge(path, doomed))
            self.gone += doomed

    def purge(self, path, doomed):
        for part in doomed:
            tree.remove_path(part)
        for part in parts_of(path):
            empty(part)

    def directories(self, path, _entries, kind="directories"):
        """Removes it when it holds only what we removed and what the server itself wrote."""
        if not is_directory(path):
            return
        written = litter(path)
        stores = [] if self.purge_models else self.manifest.get("models", [])
        foreign = files_beneath(path, self.gone, written, stores)
        if foreign:
            names = ", ".join(os.path.relpath(name, path) for name in sorted(foreign)[:3])
            self.keep(kind, path, "holds %d files that are not ours: %s" % (len(foreign), names))
        elif any(files_beneath(store) for store in stores if beneath(store, path)):
            if not self.check:
                sweep(path)
                empty(path)
        elif path in self.manifest.get("releases", []):
            self.gone.append(path)
        else:
            self.drop(kind, path, lambda: (sweep(path), empty(path)))

    def homes(self, path, entries):
        self.directories(path, entries, "homes")

    def users(self, name, _entries):
        if EXISTS["users"](name, self.manifest):
            self.drop("users", name, lambda: self.succeed(["userdel", name]))

    def groups(self, name, _entries):
        if name in self.groups_now:
            self.drop("groups", name, lambda: self.group_goes(name))

    def group_goes(self, name):
        if EXISTS["groups"](name, self.manifest):
            self.succeed(["groupdel", name])

    def packages(self):
        names = [name for name in self.manifest.get("packages", []) if "packages %s" % name not in self.existed]
        in_use = reaper_packages.engine_in_use() if reaper_packages.ENGINES & set(names) and not self.check else ""
        for name in reaper_packages.ENGINES & set(names) if in_use else ():
            self.keep("packages", name, in_use)
        doomed, kept = reaper_packages.removable([n for n in names if not (in_use and n in reaper_packages.ENGINES)])
        for name, why in kept.items():
            self.keep("packages", name, why)
        if not doomed:
            return
        try:
            if not self.check:
                reaper_packages.remove(doomed)
            self.removed += ["package %s" % name for name in doomed]
        except Trouble as trouble:
            for name in doomed:
                self.keep("packages", name, str(trouble))

    def succeed(self, argv):
        rc, out = run(argv)
        if rc != 0:
            raise Trouble("%s says: %s" % (" ".join(argv), out.strip()[-300:]))


def engine_state(manifest):
    """`absent`, `silent`, or empty when the engine answers; checked only when it holds something of ours."""
    if not any(manifest.get(kind) for kind in ENGINE_KINDS):
        return ""
    if not shutil.which("docker"):
        return "absent"
    return "" if run(["docker", "version", "-f", "{{.Server.Version}}"])[0] == 0 else "silent"


def without_keys(document, keys):
    for key in keys:
        pop_key(document, key.split("/"))
    return document


def pop_key(document, parts):
    """Removes one key path, and the branches that it leaves empty."""
    if len(parts) == 1:
        document.pop(parts[0])
        return
    pop_key(document[parts[0]], parts[1:])
    if not document[parts[0]]:
        document.pop(parts[0])


ORDER = {
    "processes": Removal.processes,
    "units": Removal.units,
    "adopted": Removal.adopted,
    "projects": Removal.projects,
    "containers": Removal.containers,
    "volumes": Removal.volumes,
    "images": Removal.images,
    "swap": Removal.swap,
    "fstab": Removal.fstab,
    "links": Removal.links,
    "releases": Removal.releases,
    "files": Removal.files,
    "json": Removal.json,
    "models": Removal.models,
    "homes": Removal.homes,
    "directories": Removal.directories,
    "users": Removal.users,
    "groups": Removal.groups,
}
DEEPEST_FIRST = ("directories", "homes")
WORDS = {
    "processes": "process",
    "units": "unit",
    "adopted": "adopted unit",
    "projects": "project",
    "containers": "replacement of container",
    "volumes": "volume",
    "images": "image",
    "swap": "swap",
    "fstab": "fstab",
    "links": "link",
    "releases": "release",
    "files": "file",
    "json": "json",
    "models": "models",
    "homes": "directory",
    "directories": "directory",
    "users": "user",
    "groups": "group",
    "packages": "package",
}
