"""The files that make up a unit, in the order in which systemd reads them, as they are on disk."""

import glob
import os
import shlex

from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_host import beside

PLACES = (
    *("/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient"),
    *("/run/systemd/generator.early", "/etc/systemd/system", "/etc/systemd/system.attached", "/run/systemd/system"),
    *("/run/systemd/system.attached", "/run/systemd/generator", "/usr/local/lib/systemd/system"),
    *("/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/generator.late"),
)
MAX_FILES = 64


def read_unit_files(host, ask):
    """The unit, its drop-ins by name, and the environment files that they name; later ones take precedence."""
    unit, found = ask["unit"], []
    for place in PLACES:
        if os.path.lexists(host.place(place + "/" + unit)):
            found.append(described(host, "unit", place + "/" + unit))
            break
    found += [described(host, "drop-in", path) for path in drop_ins(host, unit)[:MAX_FILES]]
    named = [path for row in found for path in environment_files(row["content"] or "")]
    for path in list(dict.fromkeys(named))[:MAX_FILES]:
        found += [described(host, "environment", one) for one in sorted(glob.glob(host.place(path))) or []]
    return {"files": found}


def drop_ins(host, unit):
    """Paths by file name; of equal names, the directory of higher rank wins; an empty or linked-away file masks it."""
    names = {}
    for place in PLACES:
        for folder in (unit + ".d", unit.rpartition(".")[2] + ".d"):
            directory = host.place(place + "/" + folder)
            for path in sorted(glob.glob(glob.escape(directory) + "/*.conf")):
                names.setdefault(os.path.basename(path), place + "/" + folder + "/" + os.path.basename(path))
    return [names[name] for name in sorted(names)]


def described(host, kind, path):
    place = host.place(path)
    return {"kind": kind, "path": path, "content": None if os.path.isdir(place) else beside(place, {})}


def environment_files(text):
    """Absolute paths after `EnvironmentFile=`; one that starts with a dash may be missing."""
    found = []
    for line in text.splitlines():
        name, mark, value = line.strip().partition("=")
        if mark and name.strip() == "EnvironmentFile":
            found += [word.lstrip("-") for word in words(value) if word.lstrip("-").startswith("/")]
    return found


def words(value):
    try:
        return shlex.split(value)
    except ValueError:
        return [value.strip()]
