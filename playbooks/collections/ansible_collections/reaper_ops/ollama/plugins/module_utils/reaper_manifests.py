"""Reads the manifests of a model store as its server does, in both layouts. Python 3.6.

Raises OSError for what cannot be read, ValueError, with path and reason, for what no server would take.
"""

import contextlib
import errno
import hashlib
import json
import os
import re

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_layout as layout
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree

LARGEST = 8 << 20
BLOB = re.compile(r"^sha256-[0-9a-f]{64}$")
DANGLING = "is a link to a blob that is not there"


def entries(store, refused=None):
    """{name: paths of its manifests, in the order of the server's lookup}; `refused` as in `tree.matches`."""
    roots = [os.path.join(store, root) for root in layout.ROOTS]
    return layout.in_order([path for root in roots for path in tree.matches("*/*/*/*", refused, under=root)])


def manifest(store, paths, limit=LARGEST):
    """(path, bytes, blob that it links to or "") of the first path that leads to a manifest.

    A link is followed to a blob of this store only, which must match its name.
    """
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            blob = linked_blob(store, path)
            data = whole(os.path.join(store, "blobs", blob) if blob else path, limit)
            if blob and "sha256-" + hashlib.sha256(data).hexdigest() != blob:
                raise ValueError("%s links to %s, whose bytes do not match its name" % (path, blob[:19]))
            return path, data, blob
    raise FileNotFoundError(errno.ENOENT, DANGLING, paths[0])


def whole(path, limit):
    with tree.reading(path, linked=True) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError("%s is larger than %d bytes" % (path, limit))
    return data


def linked_blob(store, path):
    """The name of the blob that an entry links to; empty for a file. Refused where the link leads elsewhere."""
    with tree.directory(os.path.dirname(path)) as above:
        info = tree.lstat(above, os.path.basename(path))
        if info is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if not tree.is_link(info):
            return ""
        target = os.readlink(os.path.basename(path), dir_fd=above)
    there = os.path.normpath(os.path.join(os.path.dirname(path), target))
    known = [os.path.join(os.path.normpath(place), "blobs") for place in (store, tree.resolved(store))]
    if os.path.dirname(there) not in known or not BLOB.match(os.path.basename(there)):
        raise tree.Refused(path, "is a link to no blob of its store")
    return os.path.basename(there)


def listed(path, data):
    """{digest: bytes} as one manifest says, which need not be valid."""
    try:
        document = json.loads(data.decode("utf-8"))
        rows = list(document["layers"]) + ([document["config"]] if document.get("config") else [])
        return {re.sub(r"\s", "", row["digest"]): int(row.get("size") or 0) for row in rows}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise ValueError("%s is no manifest" % path) from None


def sizes_of(store, found, layers=listed):
    """{digest: bytes} of the blobs that a manifest needs; of a list, those of its manifests that are there.

    A server pulls what its engine needs, so a list may name manifests that are not in the store.
    """
    path, data, blob = found
    own = {blob.replace("-", ":", 1): len(data)} if blob else {}
    try:
        named = layout.children(data)
    except ValueError as error:
        raise ValueError("%s %s" % (path, error)) from None
    if named is None:
        return dict(own, **layers(path, data))
    there = {digest: child(store, path, digest) for digest, _ in named}
    if not any(there.values()):
        raise ValueError("%s lists no manifest that is in the store" % path)
    for digest, raw in there.items():
        if raw:
            own.update({digest: len(raw)}, **layers("%s: its manifest %s" % (path, digest[:19]), raw))
    return own


def child(store, path, digest):
    """The bytes of a manifest that a list names; None when the store does not have it."""
    try:
        raw = whole(os.path.join(store, "blobs", digest.replace(":", "-")), LARGEST)
    except FileNotFoundError:
        return None
    if "sha256:" + hashlib.sha256(raw).hexdigest() != digest:
        raise ValueError("%s lists the manifest %s, whose bytes do not match its name" % (path, digest[:19]))
    return raw


def named_by(store, path):
    """Digests that one manifest names; none for one that cannot be read."""
    try:
        return set(sizes_of(store, manifest(store, [path])))
    except (OSError, ValueError):
        return set()
