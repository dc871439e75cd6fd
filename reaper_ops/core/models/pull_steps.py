"""The steps by which a host gets its models: one file for the host's own module and for the controller."""

from __future__ import annotations

from typing import Any

from reaper_ops import assets

_SHARED = assets.shared("reaper_rules")

Ask: Any = _SHARED.Ask
Answer: Any = _SHARED.Answer
Keep: Any = _SHARED.Keep
Look: Any = _SHARED.Look
Now: Any = _SHARED.Now
Pull: Any = _SHARED.Pull
Room: Any = _SHARED.Room
Start: Any = _SHARED.Start
Stream: Any = _SHARED.Stream
Tally: Any = assets.shared("reaper_tally").Tally
Tell: Any = _SHARED.Tell
Trouble: Any = _SHARED.Trouble
Wait: Any = _SHARED.Wait

ENDED: str = _SHARED.ENDED
advice: Any = _SHARED.advice
bring: Any = _SHARED.bring
delete: Any = _SHARED.delete
digest_of: Any = _SHARED.digest_of
gone: Any = _SHARED.gone
is_right: Any = _SHARED.is_right
listed: Any = _SHARED.listed
listing: Any = _SHARED.listing
pull_body: Any = _SHARED.pull_body
said: Any = _SHARED.said
send: Any = _SHARED.send
unchanged: Any = _SHARED.unchanged
walk: Any = _SHARED.walk
