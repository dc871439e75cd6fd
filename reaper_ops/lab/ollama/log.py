"""Log lines in the server's own two formats: slog on standard error, access lines on standard output."""

from __future__ import annotations

import json
import sys
import threading
import time
from datetime import datetime

_lock = threading.Lock()
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,[]@+*%µ")


def _quoted(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if text and set(text) <= _PLAIN else json.dumps(text, ensure_ascii=False)


def slog(level: str, source: str, msg: str, **attributes: object) -> None:
    stamp = datetime.now().astimezone().isoformat(timespec="milliseconds").replace("+00:00", "Z")
    words = [f"time={stamp}", f"level={level}", f"source={source}", f"msg={json.dumps(msg, ensure_ascii=False)}"]
    words += [f"{key}={_quoted(value)}" for key, value in attributes.items()]
    raw(" ".join(words))


def raw(line: str) -> None:
    with _lock:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def access(status: int, seconds: float, client: str, method: str, path: str) -> None:
    stamp = time.strftime("%Y/%m/%d - %H:%M:%S")
    line = f'[GIN] {stamp} | {status} | {duration(seconds):>12} | {client:>15} | {method:<8} "{path}"'
    with _lock:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def duration(seconds: float) -> str:
    """As Go prints a time.Duration."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.6g}µs"
    if seconds < 1:
        return f"{seconds * 1e3:.6g}ms"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{rest:.9g}s"
    if hours:
        return f"{int(hours)}h{int(minutes)}m{text}"
    return f"{int(minutes)}m{text}" if minutes else text


def binary_size(count: int) -> str:
    """Bytes as the server prints memory: 23.5 GiB."""
    for unit, factor in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def decimal_size(count: int) -> str:
    """Bytes as the server prints downloads and lists: 6.8 MB."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= factor:
            value = count / factor
            return f"{value:.0f} {unit}" if value >= 10 or value == int(value) else f"{value:.1f} {unit}"
    return f"{count} B"


def meminfo() -> tuple[str, str, str]:
    """Memory, available memory and free swap, as the server prints them."""
    with open("/proc/meminfo", encoding="ascii") as file:
        rows = dict(line.split(":", 1) for line in file)
    total, free, swap = (int(rows[key].split()[0]) << 10 for key in ("MemTotal", "MemAvailable", "SwapFree"))
    return binary_size(total), binary_size(free), binary_size(swap)
