"""Gets a manifest from a model registry, and finds which of its blobs a model store lacks."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_answers, reaper_redirects
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import Trouble, split_name

ACCEPT = "application/vnd.docker.distribution.manifest.v2+json"
TIMEOUT = 30
DEADLINE = 60
PIECE = 64 << 10


class Onward(urllib.request.HTTPRedirectHandler):
    """Allows redirects of a registry to itself and, for bytes that have a digest (`stores`), to their storage."""

    max_redirections = reaper_redirects.MOST

    def __init__(self, stores=False):
        self.stores = stores

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        reason = reaper_redirects.refusal(req.full_url, newurl, self.stores) or led(req.full_url, newurl)
        if reason:
            raise Trouble("%s redirects to %s, which %s" % (req.full_url, ascii(newurl)[1:-1][:200], reason))
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def led(source, target):
    """Why the target's addresses may not be used; empty when they may."""
    first, there = addresses(source), addresses(target)
    reasons = (reaper_redirects.address_refusal(one, first[0] if first else "") for one in there)
    return next((reason for reason in reasons if reason), "")


def addresses(url):
    try:
        found = socket.getaddrinfo(urlsplit(url).hostname, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [item[4][0] for item in found]


def received(answer, limit=reaper_answers.MANIFEST):
    """The raw bytes; fails when they are late, compressed or larger than a manifest."""
    packed = answer.headers.get("Content-Encoding") or "identity"
    if packed.strip().lower() != "identity":
        raise ValueError("sends a compressed answer, which was not requested")
    data, until = bytearray(), time.monotonic() + DEADLINE
    while True:
        part = answer.read1(PIECE)
        data += part
        if not part:
            return bytes(data)
        if len(data) > limit:
            raise ValueError("sends more than %d bytes" % limit)
        if time.monotonic() > until:
            raise ValueError("sends no complete answer in %d s" % DEADLINE)


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
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(used), Onward())
    request = urllib.request.Request(url, headers={"Accept": ACCEPT, "User-Agent": "reaper_ops"})
    try:
        with opener.open(request, timeout=TIMEOUT) as answer:
            data = received(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise LookupError("%s answers 404: no such model or tag" % url) from None
        raise Trouble("%s answers %d %s" % (url, error.code, error.reason)) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Trouble("%s does not answer: %s" % (url, getattr(error, "reason", error))) from None
    return hashlib.sha256(data).hexdigest(), blobs(url, data)


def blobs(url, data):
    try:
        return {digest: size for digest, size, _ in reaper_answers.layers(data)[0]}
    except ValueError as error:
        raise Trouble("%s does not answer with a manifest: it %s" % (url, error)) from None


def missing(sizes, models_dir):
    """Bytes of these blobs that the store does not have yet; a partial file is sparse, so only its blocks count."""
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
    """Free bytes for a normal user on the file system of `path`."""
    while not os.path.isdir(path):
        path = os.path.dirname(path.rstrip("/")) or "/"
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize
