# SPDX-License-Identifier: Apache-2.0
"""Where a registry or a release server may redirect us. Standard library only."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

MOST = 5
SITES = (frozenset({"hf.co", "huggingface.co"}), frozenset({"ollama.ai", "ollama.com"}))
"""Domain names with the same owner."""
STORES = (
    ".cloudflarestorage.com",
    ".cloudfront.net",
    ".amazonaws.com",
    ".googleapis.com",
    ".blob.core.windows.net",
    ".githubusercontent.com",
    ".hf.co",
    ".huggingface.co",
)
"""Where registries and release servers store bytes, which are compared with a digest."""
METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")))
"""Metadata addresses of clouds; the common one, 169.254.169.254, is link-local."""
SHARED = frozenset({"co", "com", "net", "org", "gov", "ac", "edu", "or", "ne", "go"})
"""Second-level labels before a country code: `example.co.uk` has an owner, `co.uk` has none."""


def address(text):
    """The text as an IP address; None for a name."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def loopback(host):
    """All names of this machine count as one host."""
    found = address(host or "")
    return host == "localhost" or bool(found and found.is_loopback)


def site(host):
    """The registrable domain of a name; addresses and single-label names stand for themselves."""
    labels = host.lower().rstrip(".").split(".")
    if address(host) or len(labels) < 2:
        return host.lower()
    shared = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in SHARED
    return ".".join(labels[-3:] if shared else labels[-2:])


def refusal(source, target, stores=False):
    """Why `source` may not redirect us to `target`; empty when it may. stores: the bytes have a digest."""
    here, there = urlsplit(source), urlsplit(target)
    if there.scheme not in ("http", "https") or not there.hostname:
        return "is not an HTTP URL"
    if here.scheme == "https" and there.scheme != "https":
        return "leaves TLS"
    if there.username or there.password:
        return "contains credentials"
    if here.hostname == there.hostname or (loopback(here.hostname) and loopback(there.hostname)):
        return ""
    own, other = site(here.hostname or ""), site(there.hostname)
    known = own == other or any({own, other} <= names for names in SITES)
    store = stores and ("." + there.hostname.lower()).endswith(STORES)
    return "" if (known or store) and not address(there.hostname) else "is another host"


def address_refusal(peer, first):
    """The same check for the address that the name resolves to. first: the address of the redirecting host."""
    found, own = address(peer), address(first)
    if found is None or found == own:
        return ""
    if found in METADATA or found.is_link_local or found.is_multicast or found.is_unspecified or found.is_reserved:
        return "leads to %s" % found
    return "" if found.is_global or (own and not own.is_global) else "resolves to %s, a private address" % found
