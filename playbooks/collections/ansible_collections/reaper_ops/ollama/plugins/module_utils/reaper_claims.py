# SPDX-License-Identifier: Apache-2.0
"""Claims by which pulls over the API keep a host for themselves: names in the server's list. Standard library only."""

from __future__ import annotations

import re
from datetime import datetime

FAMILY = "reaper-ops/lock"
LEASE = 90
SECOND = 10**9
_STAMP = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)\Z", re.ASCII)


def is_claim(name):
    return name.lower().startswith(FAMILY + ":")


def nanoseconds(stamp):
    """Of a time as Go writes it; 0 for what is none."""
    match = _STAMP.match(stamp)
    if match is None:
        return 0
    try:
        whole = datetime.fromisoformat(match.group(1) + match.group(3).replace("Z", "+00:00"))
        return int(whole.timestamp()) * SECOND + int((match.group(2) or "0").ljust(9, "0"))
    except (ValueError, OverflowError):
        return 0


def held(rows, now):
    """{name: when it was renewed, in nanoseconds} of claims that are not void; now: seconds by the server's clock."""
    found = {row["name"]: nanoseconds(str(row.get("modified_at") or "")) for row in rows if is_claim(row["name"])}
    return {name: fresh for name, fresh in found.items() if now - fresh / SECOND <= LEASE}


def busy(url, tag, seconds):
    step = "wait for its end; a lock that is not renewed is void after %d s" % LEASE
    owner = tag.partition(".")[0]
    return "%s: another pull runs on this host, by %s for %d s (%s); %s" % (url, owner, seconds, tag, step)
