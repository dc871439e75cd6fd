"""The site mirror on its disk: nginx's cache by blob, own models, and what the logs counted."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil

from ansible.module_utils.reaper_files import read_json, write_atomic

HEAD = 64 << 10
PIECE = 1 << 20
LOG_LIMIT = 64 << 20
COUNTERS = ("requests", "lan_bytes", "hits", "errors", "wan_requests", "wan_bytes", "wan_errors")
KEY = re.compile(rb"\nKEY: ([^\n]+)\n")
BLOB = re.compile(r"^(sha256:[0-9a-f]{64})bytes=(\d+)-\d+(?: (\S+))?$")
TOTAL = re.compile(rb"\r\n[Cc]ontent-[Rr]ange: bytes \d+-\d+/(\d+)\r\n")
NUMBER = re.compile(r"\d+")
TAG = re.compile(r"/repositories/(.+)/_manifests/tags/([^/]+)/current/link$")


def files_below(path):
    for directory, _, names in os.walk(path):
        for name in names:
            yield os.path.join(directory, name)


def entry(path):
    """A file of nginx's cache: its key, where its body begins, and the size of the whole that it is a piece of."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
            size = os.fstat(file.fileno()).st_size
    except OSError:
        return None
    key = KEY.search(head)
    end = head.find(b"\r\n\r\n", key.end()) if key else -1
    if end < 0:
        return None
    total = TOTAL.search(head, key.end() - 1, end + 2)
    body = end + 4
    return {
        "path": path,
        "key": key.group(1).decode("utf-8", "replace"),
        "body": body,
        "bytes": size - body,
        "total": int(total.group(1)) if total else size - body,
    }


def cached(path):
    """(blobs, others): pieces by digest and source in their order, and everything else that is kept."""
    blobs, others = {}, []
    for name in files_below(path):
        found = entry(name)
        if found is None:
            continue
        match = BLOB.match(found["key"])
        if match:
            pair = match.group(1), match.group(3) or ""
            blobs.setdefault(pair, []).append(dict(found, offset=int(match.group(2))))
        else:
            others.append(found)
    for pieces in blobs.values():
        pieces.sort(key=lambda piece: piece["offset"])
    return blobs, others


def is_whole(pieces):
    position = 0
    for piece in pieces:
        if piece["offset"] != position:
            return False
        position += piece["bytes"]
    return position == pieces[0]["total"]


def digest_of(pieces):
    found = hashlib.sha256()
    for piece in pieces:
        with open(piece["path"], "rb") as file:
            file.seek(piece["body"])
            for block in iter(lambda: file.read(PIECE), b""):
                found.update(block)
    return "sha256:" + found.hexdigest()


def summary(blobs):
    """By digest; where several sources gave it, whole if one of them did wholly."""
    found = {}
    for (digest, _), pieces in sorted(blobs.items()):
        row = found.setdefault(digest, {"bytes": 0, "total": 0, "pieces": 0, "whole": False})
        row["bytes"] += sum(piece["bytes"] for piece in pieces)
        row["total"] = max(row["total"], pieces[0]["total"])
        row["pieces"] += len(pieces)
        row["whole"] = row["whole"] or is_whole(pieces)
    return found


def own_models(path):
    """name:tag to digest of what Distribution keeps, and its bytes."""
    models, total = {}, 0
    for name in files_below(path):
        with contextlib.suppress(OSError):
            total += os.path.getsize(name)
            match = TAG.search(name)
            if match:
                with open(name, encoding="ascii") as file:
                    models["%s:%s" % match.groups()] = file.read().strip()
    return models, total


def count_lan(row, counters):
    if "/blobs/" not in row.get("uri", "") and "/manifests/" not in row.get("uri", ""):
        return
    counters["requests"] += 1
    counters["lan_bytes"] += row.get("sent") or 0
    counters["hits"] += row.get("cache") == "HIT"
    counters["errors"] += row.get("status", 0) >= 500


def count_wan(row, counters):
    counters["wan_requests"] += 1
    counters["wan_bytes"] += sum(int(part) for part in NUMBER.findall(row.get("received", "")))
    last = (NUMBER.findall(row.get("status", "")) or ["502"])[-1]
    counters["wan_errors"] += int(last) >= 400


LOGS = {"lan.log": count_lan, "wan.log": count_wan}


def counted(log):
    """What was counted since the mirror came up; a line that a crash cut short counts for nothing."""
    counters = dict.fromkeys(COUNTERS, 0)
    kept = read_json(os.path.join(log, "totals.json"))
    for name in COUNTERS if isinstance(kept, dict) else ():
        counters[name] += kept.get(name) or 0
    for name, count in LOGS.items():
        with contextlib.suppress(OSError), open(os.path.join(log, name), encoding="utf-8", errors="replace") as file:
            for line in file:
                with contextlib.suppress(ValueError, AttributeError, TypeError):
                    count(json.loads(line), counters)
    return counters


def fold_logs(log, check):
    """Long logs become their sums; nginx appends, so it writes on from the start."""
    names = [os.path.join(log, name) for name in LOGS]
    long = [name for name in names if os.path.exists(name) and os.path.getsize(name) > LOG_LIMIT]
    if long and not check:
        write_atomic(os.path.join(log, "totals.json"), json.dumps(counted(log)) + "\n")
        for name in names:
            os.truncate(name, 0)
    return bool(long)


def read(paths):
    blobs, others = cached(paths["cache"])
    models, own_bytes = own_models(paths["own"])
    disk = shutil.disk_usage(paths["data"]) if os.path.isdir(paths["data"]) else None
    return {
        "blobs": summary(blobs),
        "manifests": sorted(row["key"] for row in others),
        "cache_bytes": sum(piece["bytes"] for pieces in blobs.values() for piece in pieces),
        "own": models,
        "own_bytes": own_bytes,
        "free": disk.free if disk else None,
        "size": disk.total if disk else None,
        "counters": counted(paths["log"]),
    }


def useless(pair, pieces, keep, verify):
    """Why these pieces of a blob are to go; empty where they stay."""
    digest, source = pair
    if not source:
        return "kept by an older mirror, and no more served"
    if keep is not None and digest not in keep:
        return "no model of the lock has it"
    return "its bytes are wrong" if verify and is_whole(pieces) and digest_of(pieces) != digest else ""


def collect(paths, keep, verify, check):
    """Removes pieces of blobs that are not to be kept, and of those whose bytes are wrong."""
    blobs, _ = cached(paths["cache"])
    wrong = {
        pair: why for pair, pieces in sorted(blobs.items()) for why in [useless(pair, pieces, keep, verify)] if why
    }
    pieces = [piece for pair in wrong for piece in blobs[pair]]
    removed = {digest: why for (digest, _), why in wrong.items()}
    freed = sum(piece["bytes"] for piece in pieces)
    for piece in pieces if not check else ():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(piece["path"])
    return {"removed": removed, "freed": freed, "folded": fold_logs(paths["log"], check)}


def clear(paths, own, check):
    """What nginx and Distribution wrote; own models only when asked."""
    names = [paths[name] for name in ("cache", "swarm", "tmp", "log", "run", "sockets") if name in paths] + (
        [paths["own"]] if own else []
    )
    found = [name for name in names if os.path.isdir(name)]
    for name in found if not check else ():
        shutil.rmtree(name)
    return found
