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
    with tree.reading(path) as file:
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


def known_as(store, found):
    """Digests, besides its own, under which a registry has what this manifest names.

    Those of the manifests that a list names, and of each as it was before a migration added to it.
    """
    path, data, _ = found
    named = layout.children(data)
    if named is None:
        return published(data)
    there = {digest: child(store, path, digest) for digest, _ in named}
    return set(there).union(*(published(raw) for raw in there.values() if raw))


def published(data):
    """Digests of a manifest without the engine, the format and the manifests that a server adds, as Go writes it."""
    try:
        document = json.loads(data.decode("utf-8"))
        kept = {key: value for key, value in document.items() if key not in ("runner", "format")}
        kept["layers"] = [row for row in kept["layers"] if row.get("mediaType") not in (layout.LIST, layout.MANIFEST)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()
    text = json.dumps(kept, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, "\\u%04x" % ord(sign))
    raw = text.encode("utf-8", "surrogatepass")
    return {"sha256:" + hashlib.sha256(one).hexdigest() for one in (raw, raw + b"\n")}


def identities(store):
    """{digest that the server lists: other digests under which a registry has the same}; empty without a store."""
    found = {}
    for name, paths in (entries(store) if store else {}).items():
        with contextlib.suppress(OSError, ValueError):
            read = None if layout.is_shadow(name) else manifest(store, paths)
            if read is not None:
                own = "sha256:" + hashlib.sha256(read[1]).hexdigest()
                found.setdefault(own, set()).update(known_as(store, read) - {own})
    return {own: others for own, others in found.items() if others}


def is_known(store, digest, wanted):
    """Whether what a server lists with one digest is what a registry has with another; `sha256:` may be left out."""
    own, other = ("sha256:" + one.rpartition(":")[2] for one in (digest, wanted))
    return own == other or other in identities(store).get(own, ())
