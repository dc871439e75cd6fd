"""The site mirror on its disk: nginx's cache by blob, own models, and what the logs counted.

All of it belongs to the mirror's user, so root opens it through `reaper_tree`; what that refuses is neither read nor
removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import read_json, unlink, write_atomic

HEAD = 64 << 10
PIECE = 1 << 20
LOG_LIMIT = 64 << 20
COUNTERS = ("requests", "lan_bytes", "hits", "errors", "wan_requests", "wan_bytes", "wan_errors")
KEY = re.compile(rb"\nKEY: ([^\n]+)\n")
BLOB = re.compile(r"^(sha256:[0-9a-f]{64})bytes=(\d{1,15})-\d{1,15}(?: (\S+))?$")
TOTAL = re.compile(rb"\r\n[Cc]ontent-[Rr]ange: bytes \d{1,15}-\d{1,15}/(\d{1,15})\r\n")
DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")
NUMBER = re.compile(r"\d+")
TAG = re.compile(r"/repositories/(.{1,512})/_manifests/tags/([^/]{1,128})/current/link$")


def files_below(path):
    """(descriptor of its directory, name, lstat, path) of every regular file, without mounts."""
    with contextlib.suppress(FileNotFoundError), tree.directory(path) as fd:
        for row in tree.below(fd, path, {}):
            if tree.is_file(row[2]):
                yield row


def entry(above, name, path):
    """A file of nginx's cache: its key, where its body begins, and the size of the whole that it is a piece of."""
    try:
        with os.fdopen(tree.open_at(above, name, path), "rb") as file:
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
    for above, name, _, at in files_below(path):
        found = entry(above, name, at)
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
        with tree.reading(piece["path"]) as file:
            file.seek(piece["body"])
            for block in iter(lambda: file.read(PIECE), b""):
                found.update(block)
    return "sha256:" + found.hexdigest()


def summary(blobs):
    """Blobs by digest; complete if any source is complete."""
    found = {}
    for (digest, _), pieces in sorted(blobs.items()):
        row = found.setdefault(digest, {"bytes": 0, "total": 0, "pieces": 0, "whole": False})
        row["bytes"] += sum(piece["bytes"] for piece in pieces)
        row["total"] = max(row["total"], pieces[0]["total"])
        row["pieces"] += len(pieces)
        row["whole"] = row["whole"] or is_whole(pieces)
    return found


def own_models(path):
    """name:tag to digest of what Distribution stores, and its bytes."""
    models, total = {}, 0
    for above, name, info, at in files_below(path):
        total += info.st_size
        match = TAG.search(at)
        with contextlib.suppress(OSError):
            if match:
                with os.fdopen(tree.open_at(above, name, at), "rb") as file:
                    text = file.read(PIECE).decode("ascii", "replace").strip()
                if DIGEST.match(text):
                    models["%s:%s" % match.groups()] = text
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
    """What was counted since the mirror started; a line cut short by a crash does not count."""
    counters = dict.fromkeys(COUNTERS, 0)
    kept = read_json(os.path.join(log, "totals.json"))
    for name in COUNTERS if isinstance(kept, dict) else ():
        counters[name] += kept[name] if isinstance(kept.get(name), int) else 0
    for name, count in LOGS.items():
        with contextlib.suppress(FileNotFoundError), tree.reading(os.path.join(log, name)) as file:
            for line in file:
                with contextlib.suppress(ValueError, AttributeError, TypeError, RecursionError):
                    count(json.loads(line.decode("utf-8", "replace")), counters)
    return counters


def fold_logs(log, check):
    """Replaces long logs by their sums; nginx appends, so it continues at the start."""
    names = [os.path.join(log, name) for name in LOGS]
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(file) for file in map(appended, names) if file]
        long = [file for file in files if os.fstat(file.fileno()).st_size > LOG_LIMIT]
        if long and not check:
            write_atomic(os.path.join(log, "totals.json"), json.dumps(counted(log)) + "\n")
            for file in files:
                os.ftruncate(file.fileno(), 0)
        return bool(long)


def appended(path):
    """An open log; None if there is none."""
    try:
        return os.fdopen(tree.open_file(path, os.O_WRONLY), "wb")
    except FileNotFoundError:
        return None


def read(paths):
    blobs, others = cached(paths["cache"])
    models, own_bytes = own_models(paths["own"])
    free, size = space(paths["data"])
    return {
        "blobs": summary(blobs),
        "manifests": sorted(row["key"] for row in others),
        "cache_bytes": sum(piece["bytes"] for pieces in blobs.values() for piece in pieces),
        "own": models,
        "own_bytes": own_bytes,
        "free": free,
        "size": size,
        "counters": counted(paths["log"]),
    }


def useless(pair, pieces, keep, verify):
    """Why these pieces of a blob are removed; empty when they stay."""
    digest, source = pair
    if not source:
        return "stored by an older mirror and no longer served"
    if keep is not None and digest not in keep:
        return "no model of the lock uses it"
    return "its bytes are wrong" if verify and is_whole(pieces) and digest_of(pieces) != digest else ""


def space(path):
    """(free, total) bytes; None when the directory does not exist."""
    try:
        with tree.directory(path) as fd:
            disk = os.fstatvfs(fd)
    except FileNotFoundError:
        return None, None
    return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


def collect(paths, keep, verify, check):
    """Removes pieces of blobs that are not kept or whose bytes are wrong."""
    blobs, _ = cached(paths["cache"])
    wrong = {
        pair: why for pair, pieces in sorted(blobs.items()) for why in [useless(pair, pieces, keep, verify)] if why
    }
    pieces = [piece for pair in wrong for piece in blobs[pair]]
    removed = {digest: why for (digest, _), why in wrong.items()}
    freed = sum(piece["bytes"] for piece in pieces)
    for piece in pieces if not check else ():
        with contextlib.suppress(FileNotFoundError):
            unlink(piece["path"])
    return {"removed": removed, "freed": freed, "folded": fold_logs(paths["log"], check)}


def clear(paths, own, check):
    """Removes what nginx and Distribution wrote; own models only on request."""
    names = [paths[name] for name in ("cache", "swarm", "tmp", "log", "run", "sockets") if name in paths] + (
        [paths["own"]] if own else []
    )
    found = [name for name in names if is_there(name)]
    for name in found if not check else ():
        tree.remove_path(name)
    return found


def is_there(path):
    """Whether the path exists, even as a dangling link."""
    parent, name = os.path.split(path)
    try:
        with tree.entry(parent) as place:
            return tree.lstat(place.fd, name) is not None
    except FileNotFoundError:
        return False
