"""The server's variables: of the process that runs, or else as its unit would set them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from reaper_ops.core.doctor.rules.case import HostEvidence

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_LINE = re.compile(r"^Environment=(.*)$", re.M)


def written(case: HostEvidence) -> Mapping[str, str]:
    """Of one name that is set twice, systemd takes the last."""
    if case.environ:
        return case.environ
    text = case.unit.get("Environment") or " ".join(_LINE.findall(case.traces.unit_text or ""))
    words = (quoted or plain for quoted, plain in _WORD.findall(text))
    return {name: value for name, mark, value in (word.partition("=") for word in words) if mark}
