"""Asks a model registry for a manifest, and a model store for what of it is missing."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import urllib.error
import urllib.request

from ansible.module_utils import reaper_tree as tree
from ansible.module_utils.reaper_rules import Trouble, split_name

ACCEPT = "application/vnd.docker.distribution.manifest.v2+json"
DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")
LIMIT = 8 << 20
TIMEOUT = 30


def bypasses(host, no_proxy):
    name = host.rpartition(":")[0] if ":" in host else host
    entries = [entry.strip().lstrip("*").lstrip(".") for entry in no_proxy if entry.strip()]
    return "" in entries or any(e in (host, name) or name.endswith("." + e) for e in entries)


def manifest(name, insecure_registries, https_proxy, no_proxy):
    """The manifest's digest and its {blob digest: bytes}; LookupError when the registry has no such model."""
    host, namespace, model, tag = split_name(name)
    scheme = "http" if host in insecure_registries else "https"
    url = "%s://%s/v2/%s/%s/manifests/%s" % (scheme, host, namespace, model, tag)
    used = {"https": https_proxy} if https_proxy and not bypasses(host, no_proxy) else {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(used))
    request = urllib.request.Request(url, headers={"Accept": ACCEPT, "User-Agent": "reaper_ops"})
    try:
        with opener.open(request, timeout=TIMEOUT) as answer:
            data = answer.read(LIMIT)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise LookupError("%s says 404: no such model or tag" % url) from None
        raise Trouble("%s says %d %s" % (url, error.code, error.reason)) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Trouble("%s cannot be asked: %s" % (url, getattr(error, "reason", error))) from None
    return hashlib.sha256(data).hexdigest(), blobs(url, data)


def blobs(url, data):
    try:
        document = json.loads(data.decode("utf-8"))
        entries = [document["config"], *document["layers"]]
        sizes = {entry["digest"]: int(entry["size"]) for entry in entries}
    except (ValueError, KeyError, TypeError) as error:
        raise Trouble("%s answers something else than a manifest (%r)" % (url, error)) from None
    if not all(DIGEST.match(digest) for digest in sizes):
        raise Trouble("%s answers a manifest with malformed digests" % url)
    return sizes


def missing(sizes, models_dir):
    """Bytes of these blobs that are not in the store yet; a partial file is sparse, so its blocks count."""
    total = 0
    try:
        with tree.directory(os.path.join(models_dir, "blobs")) as fd:
            for digest, size in sizes.items():
                name = digest.replace(":", "-")
                if tree.lstat(fd, name) is None:
                    part = tree.lstat(fd, name + "-partial")
                    total += size - min(part.st_blocks * 512 if part else 0, size)
    except (FileNotFoundError, NotADirectoryError):
        return sum(sizes.values())
    return total


def free_space(path):
    """Free bytes for a normal user where `path` is or will be."""
    while not os.path.isdir(path):
        path = os.path.dirname(path.rstrip("/")) or "/"
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize
