"""The doctor's cases: JSON merge patches (RFC 7396) on the hosts of `cases/doctor/bases`, and what is made of them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from reaper_ops.core.doctor.diagnose import Diagnosis, diagnose, examined
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.facts import codec
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.health import probe
from reaper_ops.core.inventory.settings import Settings

CASES = Path(__file__).with_name("cases")
BASES = sorted((CASES / "doctor" / "bases").glob("*.json"))
FILES = sorted(path for path in (CASES / "doctor").glob("*/*.json") if path.parent.name != "bases")
SICK = [path for path in FILES if path.stem.startswith("sick")]


def patched(base: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    found = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = patched(found.get(key), value)
    return found


def texts(value: Any) -> Any:
    """A text stands as it is, or as {"recorded": "file of cases/recorded"}."""
    if isinstance(value, dict) and set(value) == {"recorded"}:
        return (CASES / "recorded" / value["recorded"]).read_text()
    if isinstance(value, dict):
        return {key: texts(item) for key, item in value.items()}
    return [texts(item) for item in value] if isinstance(value, list) else value


@cache
def _whole(path: Path) -> str:
    case = json.loads(path.read_text())
    if "base" in case:
        case = patched(load(CASES / "doctor" / "bases" / f"{case['base']}.json"), case)
    return json.dumps({**case, "facts": texts(case.get("facts")), "exchanges": texts(case.get("exchanges", []))})


def load(path: Path) -> dict[str, Any]:
    """The case on its base, with the recorded texts in their places; the caller's own, to change."""
    return dict(json.loads(_whole(path)))


def evidence(case: dict[str, Any], host: str = "gpu1") -> HostEvidence:
    settings = Settings.model_validate(case.get("settings", {}))
    facts = codec.load("case", case["facts"]) if case["facts"] is not None else None
    seen = probe.observe(host, case["url"], [Exchange(**item) for item in case["exchanges"]])
    return HostEvidence(settings, seen, facts, settings.models(), "-i hosts.yml")


def examine(case: dict[str, Any], host: str = "gpu1") -> Diagnosis:
    return diagnose(examined(evidence(case, host)))
