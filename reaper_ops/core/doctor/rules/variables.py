"""The server's variables: of the process that runs, or else as its unit would set them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from reaper_ops.core.doctor.rules.case import HostEvidence

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_LINE = re.compile(r"^Environment=(.*)$", re.M)

_PROPERTY = re.compile(
    r"^((?:Protect|Private)\w{3,20}|(?:ReadWrite|ReadOnly|Inaccessible|Bind)Paths|StateDirectory|CacheDirectory"
    r"|WorkingDirectory|User|Group|DynamicUser)=(.{1,1000})$",
    re.M,
)


def written(case: HostEvidence) -> Mapping[str, str]:
    """Of one name that is set twice, systemd takes the last."""
    if case.environ:
        return case.environ
    text = case.unit.get("Environment") or " ".join(_LINE.findall(case.traces.unit_text or ""))
    words = (quoted or plain for quoted, plain in _WORD.findall(text))
    return {name: value for name, mark, value in (word.partition("=") for word in words) if mark}


def unit_properties(case: HostEvidence) -> Mapping[str, str]:
    """As systemd says them; of a unit file that was only pasted, as it is written there, the last of each name."""
    text = case.traces.unit_text or ""
    shown = {name: value.strip() for name, value in _PROPERTY.findall(text)}
    return {**shown, **{name: value for name, value in case.unit.items() if value}}
