"""What is told to a run that finds another one at work on a server."""

from __future__ import annotations

import json


def busy(url: str, text: str, now: float) -> str:
    """text: what the holder wrote into the lock file; it may just be writing it."""
    try:
        held = json.loads(text)
        who = f"by {held['owner']} for {max(0, int(now - held['since']))} s (process {held['pid']})"
    except (ValueError, KeyError, TypeError):
        who = "by another run"
    return f"{url}: another pull from this machine runs on this host, {who}; wait for its end, or stop it"
