# SPDX-License-Identifier: Apache-2.0
"""Where a model store keeps the manifest of a name, in both layouts of Ollama. Standard library only, Python 3.6.

Until 0.39 a tag is a file below `manifests/`. From 0.40 on it is a link to a blob, or a copy of one, below
`manifests-v2/`, and what lies in `manifests/` serves an older server after a downgrade. A tag may be a list of
manifests, one for each engine. Read in Ollama's manifest/paths.go, manifest/manifest.go and manifest/downgrade_test.go,
and in its local migration (compatmigrate), as of October 2026; no server of that version has run here.
"""

import json
import re

LEGACY, CURRENT = "manifests", "manifests-v2"
ROOTS = (CURRENT, LEGACY)
"""In the order of the server's lookup."""
HOST = "registry.ollama.ai"
PUBLIC = (HOST, "ollama.com")
"""Two spellings of one host; a name has the first, a path below `manifests-v2/` the second."""
LIST = "application/vnd.ollama.manifest.list.v2+json"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MOST_CHILDREN = 32
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_SHADOW = re.compile(r"(?:(?:registry\.ollama\.ai|ollama\.com)/)?(?:library/)?llamacpp:[0-9a-f]{64}\Z", re.IGNORECASE)


def is_shadow(name):
    """Whether it is no model, but what a migration leaves for an older server: `llamacpp:` and a digest."""
    return _SHADOW.match(name) is not None


def parts_of(path):
    """(host, namespace, model, tag) of `…/manifests/HOST/NAMESPACE/MODEL/TAG`; None for any other path."""
    parts = path.split("/")[-5:]
    if len(parts) < 5 or parts[0] not in ROOTS or not all(parts):
        return None
    host = parts[1].replace("%3A", ":")
    return (HOST if host.lower() in PUBLIC else host, *parts[2:])


def places(host, namespace, model, tag):
    """Paths in the store at which a manifest of this name can lie, in the order of the server's lookup."""
    known = host.lower() in PUBLIC
    first = (PUBLIC[1] if known else host).replace(":", "%3A")
    found = [(CURRENT, first)] + [(LEGACY, spelling) for spelling in (PUBLIC if known else (host,))]
    return ["/".join((root, spelling, namespace, model, tag)) for root, spelling in found]


def in_order(paths):
    """{name: paths of its manifests, in the order of the server's lookup}, of paths that lie in one store."""
    found = {}
    for path in sorted(paths):
        parts = parts_of(path)
        if parts is not None:
            found.setdefault("%s/%s/%s:%s" % parts, []).append(path)
    return {name: sorted(them, key=_rank) for name, them in found.items()}


def _rank(path):
    root, host = path.split("/")[-5:-3]
    return ROOTS.index(root), host.lower() == PUBLIC[1]


def children(data):
    """[(digest, engine), …] of the manifests of a list; None for the manifest of one model.

    ValueError, with the reason, for a list that no server would take.
    """
    try:
        found = json.loads(bytes(data).decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("mediaType") != LIST:
        return None
    listed = found.get("manifests")
    if not isinstance(listed, list) or not listed:
        raise ValueError("is a list of no manifests")
    if len(listed) > MOST_CHILDREN:
        raise ValueError("lists %d manifests; at most %d are taken" % (len(listed), MOST_CHILDREN))
    return [_child(row) for row in listed]


def _child(row):
    name = row.get("digest") if isinstance(row, dict) else None
    if not isinstance(name, str) or not _DIGEST.match(name):
        raise ValueError("lists a manifest with the digest %s" % ascii(name)[:80])
    if row.get("mediaType") == LIST:
        raise ValueError("is a list that contains a list")
    engine = row.get("runner")
    return name, engine.lower()[:40] if isinstance(engine, str) else ""
