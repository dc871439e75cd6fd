"""Where things lie on a host, for each runtime."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import in_effect
from reaper_ops.core.provision.in_effect import DROPIN as DROPIN
from reaper_ops.core.provision.in_effect import MARKER as MARKER
from reaper_ops.core.provision.in_effect import UNIT as UNIT

STATE = "/var/lib/ollama"
VENDOR_HOME = "/usr/share/ollama"
UNKNOWN_HOME = "~"
_ASSIGNMENT = re.compile(r'^Environment="?(HOME|OLLAMA_MODELS)=(.*?)"?$', re.MULTILINE)


@dataclass(frozen=True)
class Layout:
    """home is the server's HOME; models_dir its store, as the server itself names it."""

    home: str
    models_dir: str
    user: str
    group: str
    adopted: bool = False


def of(settings: Settings, facts: Facts) -> Layout:
    if settings.ollama_runtime == "docker":
        return Layout("/root", settings.ollama_models_dir or "/root/.ollama/models", "root", "root")
    if settings.ollama_runtime == "process":
        home = process_home(settings, facts)
        return Layout(home, settings.ollama_models_dir or f"{home}/models", "", "")
    if settings.ollama_adopt and is_foreign(facts):
        return _adopted(settings, facts)
    return Layout(STATE, settings.ollama_models_dir or f"{STATE}/models", "ollama", "ollama")


def process_home(settings: Settings, facts: Facts) -> str:
    return settings.ollama_home or f"{facts.system.home or UNKNOWN_HOME}/.local/share/reaper_ops/ollama"


def is_foreign(facts: Facts) -> bool:
    """Whether ollama.service comes from somebody else: another place, or our place without our marker."""
    written = facts.files.get(UNIT)
    if written is not None and written.content is not None:
        return MARKER not in written.content
    fragment = facts.unit.properties.get("FragmentPath", "") if facts.unit else ""
    return bool(fragment) and fragment != UNIT


def _adopted(settings: Settings, facts: Facts) -> Layout:
    """The user, home and store of the unit that is taken over, so that its models stay in use."""
    properties = facts.unit.properties if facts.unit else {}
    known = {**_written(facts), **(facts.process.environ if facts.process else {})}
    user = properties.get("User") or "root"
    home = known.get("HOME") or ("/root" if user == "root" else VENDOR_HOME)
    models = settings.ollama_models_dir or known.get("OLLAMA_MODELS") or f"{home}/.ollama/models"
    return Layout(home, models, user, properties.get("Group") or user, adopted=True)


def _written(facts: Facts) -> dict[str, str]:
    """HOME and store as the unit and its drop-ins name them, for a server that does not run."""
    found = in_effect.environment(facts)
    for path in (UNIT, DROPIN):
        there = facts.files.get(path)
        for name, value in _ASSIGNMENT.findall((there.content if there else None) or ""):
            found[name] = re.sub(r"\\(.)", r"\1", value).replace("%%", "%")
    return found


def paths(settings: Settings, layout: Layout) -> dict[str, str]:
    """Every path that a role writes or reads."""
    if settings.ollama_runtime == "process":
        base = layout.home
        return {
            "release_dest": f"{base}/releases/{settings.ollama_version}",
            "link": f"{base}/current",
            "bin": f"{base}/current/bin/ollama",
            "env_json": f"{base}/env.json",
            "log": f"{base}/ollama.log",
            "pid": f"{base}/ollama.pid",
            "manifest": f"{base}/reaper_ops/manifest.json",
        }
    return {
        "release_dest": f"/opt/ollama/{settings.ollama_version}",
        "link": "/opt/ollama/current",
        "bin": "/opt/ollama/current/bin/ollama",
        "bin_link": "/usr/local/bin/ollama",
        "unit": UNIT,
        "dropin": DROPIN,
        "compose": "/etc/reaper_ops/compose.yaml",
        "manifest": "/var/lib/reaper_ops/manifest.json",
        "modules": "/etc/modules-load.d/reaper_ops-gpu.conf",
        "zram": "/etc/systemd/zram-generator.conf",
        "sysctl": "/etc/sysctl.d/90-reaper_ops-swap.conf",
    }
