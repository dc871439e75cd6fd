# SPDX-License-Identifier: Apache-2.0
"""Where an answer of a registry or of a release server may send us on. Standard library only."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

MOST = 5
SITES = (frozenset({"hf.co", "huggingface.co"}), frozenset({"ollama.ai", "ollama.com"}))
"""Names of one and the same owner."""
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
"""Where registries and release servers keep bytes, which are compared with a digest."""
METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")))
"""Of clouds; the one that all know, 169.254.169.254, is link-local."""
SHARED = frozenset({"co", "com", "net", "org", "gov", "ac", "edu", "or", "ne", "go"})
"""Before a country: `example.co.uk` has an owner, `co.uk` has none."""


def address(text):
    """The IP address that the text is; None for a name."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def loopback(host):
    """All names of the machine that we are on are one host."""
    found = address(host or "")
    return host == "localhost" or bool(found and found.is_loopback)


def site(host):
    """The registrable part of a name; an address and a name of one label are their own."""
    labels = host.lower().rstrip(".").split(".")
    if address(host) or len(labels) < 2:
        return host.lower()
    shared = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in SHARED
    return ".".join(labels[-3:] if shared else labels[-2:])


def refusal(source, target, stores=False):
    """Why the answer of `source` may not send us to `target`; empty when it may. stores: the bytes have a digest."""
    here, there = urlsplit(source), urlsplit(target)
    if there.scheme not in ("http", "https") or not there.hostname:
        return "is no address of the web"
    if here.scheme == "https" and there.scheme != "https":
        return "leaves TLS"
    if there.username or there.password:
        return "has a login in it"
    if here.hostname == there.hostname or (loopback(here.hostname) and loopback(there.hostname)):
        return ""
    own, other = site(here.hostname or ""), site(there.hostname)
    known = own == other or any({own, other} <= names for names in SITES)
    store = stores and ("." + there.hostname.lower()).endswith(STORES)
    return "" if (known or store) and not address(there.hostname) else "is another host"


def address_refusal(peer, first):
    """The same of the address that the name led to. first: the one of the host that sent us there."""
    found, own = address(peer), address(first)
    if found is None or found == own:
        return ""
    if found in METADATA or found.is_link_local or found.is_multicast or found.is_unspecified or found.is_reserved:
        return "leads to %s" % found
    return "" if found.is_global or (own and not own.is_global) else "leads to %s, an address of a private net" % found
