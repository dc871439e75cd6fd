"""What the person wants of the monitoring."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from reaper_ops.core.inventory.settings.reading import UNWRITABLE
from reaper_ops.errors import ReaperError

DURATION = re.compile(r"(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?")
ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")


@dataclass(frozen=True)
class Monitoring:
    """metrics: where `watch --metrics` listens; textfile: the node exporter that serves what `probe -o prometheus`
    wrote. every: scrape and evaluation interval; wait: `for` of all alerts, each has its own when empty. webhook: the
    receiver of all alerts."""

    metrics: str = "127.0.0.1:9434"
    textfile: str = ""
    alertmanager: str = "127.0.0.1:9093"
    every: str = "30s"
    wait: str = ""
    webhook: str = ""


def parse(given: Mapping[str, str]) -> Monitoring:
    """Checks the words of the command line; a textfile alone means that no watch is scraped."""
    for name, value in given.items():
        if UNWRITABLE.search(value):
            raise ReaperError(f"--{name}", f"{value!r} holds a control character", "write it in signs that can be seen")
    for name, option in (("metrics", "--metrics"), ("textfile", "--textfile"), ("alertmanager", "--alertmanager")):
        if name in given and not ADDRESS.fullmatch(given[name]):
            raise ReaperError(option, f"{given[name]!r} is no ADDR:PORT", "write it as 127.0.0.1:9434")
    for name, option in (("every", "--every"), ("wait", "--for")):
        if name in given and not DURATION.fullmatch(given[name]):
            raise ReaperError(option, f"{given[name]!r} is no duration", "write it as 30s, 5m or 1h30m")
    if "every" in given and not re.search("[1-9]", given["every"]):
        raise ReaperError("--every", "cannot be zero", "write it as 30s, 5m or 1h30m")
    if "webhook" in given and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", given["webhook"]):
        raise ReaperError("--webhook", f"{given['webhook']!r} is no URL", "write it as http://HOST:PORT/PATH")
    only_textfile = "textfile" in given and "metrics" not in given
    return Monitoring(**({"metrics": ""} if only_textfile else {}), **given)
