"""No evidence, however odd, makes a rule fall over: a sick host tells odd things."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.diagnose import diagnose, examined
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.facts import codec
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.health import probe
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.errors import ReaperError

BASES = [json.loads(path.read_text()) for path in sorted(Path(__file__).parents[3].glob("cases/doctor/bases/*.json"))]
SAMPLES = [signature.sample for signature in signatures.TABLE]
LINES = st.lists(st.one_of(st.sampled_from(SAMPLES), st.text(max_size=80)), max_size=12).map("\n".join)
TEXTS = st.one_of(
    st.text(max_size=20), st.sampled_from(["", "0", "-1", "infinity", "[not set]", "2^64", "é\x1b[0m", "/"])
)


def shaken(value: Any, draw: Any, depth: int = 0) -> Any:
    """The value with some parts missing and some texts and numbers replaced by odd ones of the same kind."""
    if isinstance(value, dict):
        kept = {
            k: v for k, v in value.items() if k in {"host", "system", "what"} or depth > 4 or draw(st.integers(0, 9))
        }
        return {k: shaken(v, draw, depth + 1) for k, v in kept.items()}
    if isinstance(value, list):
        return [shaken(item, draw, depth + 1) for item in value if draw(st.integers(0, 5))]
    if depth > 1 and not draw(st.integers(0, 12)):
        if isinstance(value, str):
            return draw(TEXTS)
        if isinstance(value, int) and not isinstance(value, bool):
            return draw(st.sampled_from([0, 1, -1, 2**62, value]))
    return value


@pytest.mark.parametrize("base", BASES, ids=lambda base: base["what"])
@settings(max_examples=40)
@given(data=st.data())
def test_odd_evidence_is_judged_without_a_traceback(base: dict[str, Any], data: Any) -> None:
    case = copy.deepcopy(base)
    facts = shaken(case["facts"], data.draw)
    facts |= {"host": "h", "system": facts.get("system", {}), "journal": data.draw(LINES), "kernel": data.draw(LINES)}
    try:
        known = codec.load("case", facts)
    except ReaperError:
        return  # a part that the record cannot do without was shaken off
    said = data.draw(st.lists(st.sampled_from(case["exchanges"]), max_size=3))
    seen = probe.observe("h", case["url"], [Exchange(**one) for one in said])
    wanted = Settings.model_validate(case["settings"])
    found = diagnose(examined(HostEvidence(wanted, seen, known, wanted.models(), "-i hosts")))
    for cause in found.causes:
        assert cause.finding.summary
