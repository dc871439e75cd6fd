"""The manifest: its kinds of entries, how they merge, and what was there before us."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import subprocess

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble, read_json
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_swap import fstab_lines, fstab_text
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_tree import beneath as beneath

DICTS = ("files", "links", "projects", "containers", "json", "adopted")
LISTS = (
    "directories",
    "homes",
    "models",
    "releases",
    "packages",
    "units",
    "processes",
    "users",
    "groups",
    "swap",
    "fstab",
    "images",
    "volumes",
)
OUR_MARK = b"reaper_ops"


def read(path):
    """The manifest; empty when there is none yet."""
    if not os.path.exists(path):
        return {}
    manifest = read_json(path)
    if not isinstance(manifest, dict):
        raise Trouble("%s: is not a manifest of reaper_ops; move it away, then run `reaper-ops up` again" % path)
    return manifest


def beyond(shown, manifest):
    """What a manifest lists beyond the one that was shown: entries, and what would be restored differently."""
    found = []
    for kind in (*DICTS, *LISTS):
        known, now = shown.get(kind) or [], manifest.get(kind) or []
        found += ["%s %s: was not shown" % (kind, name) for name in now if name not in known]
        if kind in DICTS:
            changed = [name for name in now if name in known and now[name] != known[name]]
            found += ["%s %s: differs from what was shown" % (kind, name) for name in changed]
    gone = set(shown.get("existed", [])) - set(manifest.get("existed", []))
    return found + ["%s: existed before reaper_ops, and the manifest no longer says so" % name for name in sorted(gone)]


def merged(manifest, entries):
    """Old and new entries; a known hash of a file takes precedence over an unknown one, and the previous one is kept.

    For a replaced container, the first record is the true one: the container was stopped since.
    """
    after = dict(manifest)
    for kind, value in entries.items():
        old = manifest.get(kind, {} if kind in DICTS else [])
        if kind == "containers":
            after[kind] = dict(value, **old)
        elif kind in DICTS:
            after[kind] = dict(old, **{k: v if v is not None else old.get(k) for k, v in value.items()})
        else:
            after[kind] = list(dict.fromkeys(list(old) + value))
    return after


def there_before(manifest, entries):
    """`kind name` of each new entry that already exists and is not recognizably ours."""
    found = set()
    whole = merged(manifest, entries)
    for kind, exists in EXISTS.items():
        known = manifest.get(kind, [])
        for name in entries.get(kind, []):
            if name not in known and exists(name, whole):
                found.add("%s %s" % (kind, name))
    packages = [name for name in entries.get("packages", []) if name not in manifest.get("packages", [])]
    here = installed() if packages else set()
    if here is None:
        raise Trouble("neither dpkg nor rpm answers; without them, our packages cannot be identified")
    found |= {"packages %s" % name for name in packages if name in here}
    for kind in ("directories", "homes"):
        new = [path for path in entries.get(kind, []) if path not in manifest.get(kind, [])]
        found |= {"litter %s" % path for path in new if os.path.exists(os.path.join(path, ".ollama"))}
    for path, keys in entries.get("json", {}).items():
        present = json_value(path, keys)
        known = manifest.get("json", {}).get(path, [])
        found |= {"json %s %s" % (path, key) for key in keys if key not in known and key in present}
        if path not in manifest.get("json", {}) and os.path.exists(path):
            found.add("jsonfile %s" % path)
    return found


def foreign_file(path, manifest):
    if manifest["files"][path] is None or not os.path.lexists(path):
        return False
    try:
        with tree.reading(path) as file:
            return OUR_MARK not in file.read(1 << 20).lower()
    except OSError:
        return True


def foreign_link(path, manifest):
    return os.path.lexists(path) and not points_to(path, manifest["links"][path])


def foreign_directory(path, manifest):
    """Whether it exists and holds more than models that an earlier `down` left."""
    try:
        with tree.directory(path) as fd:
            return not os.listdir(fd) or bool(files_beneath(path, manifest.get("models", [])))
    except (FileNotFoundError, NotADirectoryError):
        return False


def files_beneath(path, *left_out):
    """Files, links and mounts in `path`, without those below one of `left_out`."""
    tops, mounts = [top for group in left_out for top in group], {}
    try:
        with tree.directory(path) as fd:
            found = [at for _, _, info, at in tree.below(fd, path, mounts) if not tree.is_folder(info) or at in mounts]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [name for name in found if not any(beneath(name, top) for top in tops)]


def points_to(path, target):
    """Whether the link points to `target`, in any spelling, even if the target is gone or itself a link."""
    if not os.path.islink(path):
        return False
    parent = os.path.dirname(path)
    written = os.path.normpath(os.path.join(parent, os.readlink(path)))
    wanted = os.path.normpath(os.path.join(parent, target))
    return written == wanted or os.path.realpath(written) == os.path.realpath(wanted)


def is_user(name, _manifest):
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


def is_group(name, _manifest):
    try:
        return bool(grp.getgrnam(name))
    except KeyError:
        return False


def foreign_volume(name, manifest):
    """Whether it exists and was not created by our Compose project, whose models an earlier `down` may have left."""
    label = '{{index .Labels "com.docker.compose.project"}}'
    found = said(["docker", "volume", "inspect", "-f", label, name])
    return found is not None and found.strip() not in manifest.get("projects", {})


EXISTS = {
    "files": foreign_file,
    "links": foreign_link,
    "directories": foreign_directory,
    "homes": foreign_directory,
    "swap": lambda path, _manifest: os.path.exists(path),
    "fstab": lambda path, _manifest: bool(fstab_lines(path, fstab_text())),
    "users": is_user,
    "groups": is_group,
    "volumes": foreign_volume,
    "images": lambda name, _manifest: said(["docker", "image", "inspect", "-f", "{{.Id}}", name]) is not None,
}


def json_value(path, keys):
    """{key path: value} of the key paths (a/b/c) that the JSON file contains."""
    document = read_json(path)
    found = {}
    for key in keys:
        value = document
        for part in key.split("/"):
            if not isinstance(value, dict) or part not in value:
                break
            value = value[part]
        else:
            found[key] = value
    return found


def sha256(path):
    with tree.reading(path) as file:
        return hashlib.sha256(file.read()).hexdigest()


def installed():
    """Names of the packages on the host; None when neither dpkg nor rpm answers."""
    for argv in (
        ["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${binary:Package}\n"],
        ["rpm", "-qa", "--qf", "ii  %{NAME}\n"],
    ):
        out = said(argv)
        rows = [line.split() for line in (out or "").splitlines()]
        if rows:
            return {row[-1].split(":")[0] for row in rows if row and row[0] == "ii"}
    return None


def brought(before):
    """Packages that came since `before` as dependencies; one that a person installed meanwhile is not ours."""
    now, automatic = installed(), said(["apt-mark", "showauto"])
    new = (now or set()) - set(before)
    return sorted(new if automatic is None else new & {name.split(":")[0] for name in automatic.split()})


def said(argv):
    """Output of a command; None when it is missing or failed."""
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
