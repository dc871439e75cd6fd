"""Asks whether a site mirror serves."""

from __future__ import annotations

import httpx

SECONDS = 3.0


def serves(url: str) -> bool:
    """Whether a mirror of ours answers at this URL."""
    try:
        answer = httpx.get(f"{url}/reaper_ops/health", timeout=SECONDS, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and answer.text.startswith('{"mirror"')
