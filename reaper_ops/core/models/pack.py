"""What a bundle of models is: its members, its sums, its index. docs/model-bundles.md describes it for people."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from reaper_ops.core import values
from reaper_ops.core.models import lock as locks
from reaper_ops.core.models import names
from reaper_ops.core.models.lock import Lock, from_manifest
from reaper_ops.errors import ReaperError

SCHEMA = "reaper-ops/models.bundle/1"
FAMILY = "reaper-ops/models.bundle/"
INDEX, LOCK, SUMS = "reaper-bundle.json", "models.lock", "SHA256SUMS"
LARGEST_TEXT = 8 << 20
MOST_TEXT = 256 << 20
MOST_MEMBERS = 100_000
UNFINISHED = ".part"
AGAIN = "get it again from where it was made, or run `reaper-ops models bundle create` again"
_BLOB = re.compile(r"^blobs/sha256-([0-9a-f]{64})\Z")
_MANIFEST = re.compile(r"^manifests/([^/]+)/([^/]+)/([^/]+)/([^/]+)\Z")
_SUM = re.compile(r"^([0-9a-f]{64}) [ *](.+)\Z")


@dataclass(frozen=True)
class Contents:
    """A bundle whose parts fit together; bytes of blobs were not looked at. sums: by member."""

    lock: Lock
    manifests: Mapping[str, bytes]
    sums: Mapping[str, str]


def blob_member(digest: str) -> str:
    return f"blobs/{digest.replace(':', '-')}"


def manifest_member(name: str) -> str:
    one = names.split(name)
    return f"manifests/{one.host}/{one.namespace}/{one.model}/{one.tag}"


def model_of(member: str) -> str | None:
    """The whole name of the model whose manifest this is; None where it is no manifest's place."""
    match = _MANIFEST.match(member)
    if match is None:
        return None
    host, namespace, model, tag = match.groups()
    try:
        whole = values.model_name(f"{host}/{namespace}/{model}:{tag}")
    except ValueError:
        return None
    return whole if manifest_member(whole) == member else None


def is_member(member: str) -> bool:
    """Whether a bundle may hold this; such a name leads to no other place."""
    return member in {INDEX, LOCK, SUMS} or bool(_BLOB.match(member)) or model_of(member) is not None


def is_small(member: str) -> bool:
    """Whether it is read whole."""
    return not _BLOB.match(member)


def index_text(models: Mapping[str, str], at: str) -> str:
    """models: digest of the manifest by whole name."""
    return json.dumps({"schema": SCHEMA, "created": at, "models": dict(sorted(models.items()))}, indent=1) + "\n"


def sums_text(sums: Mapping[str, str]) -> str:
    """As `sha256sum -c` reads it."""
    return "".join(f"{digest}  {member}\n" for member, digest in sorted(sums.items()))


def texts(lock: Lock, manifests: Mapping[str, bytes], at: str) -> dict[str, bytes]:
    """Every member but the blobs, the index last, since it says that a bundle is whole."""
    found: dict[str, bytes] = {manifest_member(name): data for name, data in sorted(manifests.items())}
    found[LOCK] = locks.dump(lock).encode()
    digests = {one.name: one.digest for one in lock.models}
    index = index_text(digests, at).encode()
    sums = {member: _sha256(data) for member, data in found.items()} | {INDEX: _sha256(index)}
    sums |= {blob_member(digest): digest.partition(":")[2] for one in lock.models for digest in one.blobs}
    return {**found, SUMS: sums_text(sums).encode(), INDEX: index}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def check(place: str, sizes: Mapping[str, int], small: Mapping[str, bytes]) -> Contents:
    """sizes of all members; small: those that are read whole. ReaperError says what does not fit."""
    for needed in (INDEX, SUMS, LOCK):
        if needed not in small:
            raise ReaperError(f"{place}/{needed}", "is missing: this is no bundle, or an unfinished one", AGAIN)
    models = _index(f"{place}/{INDEX}", small[INDEX])
    sums = _sums(f"{place}/{SUMS}", small[SUMS])
    _same(place, set(sizes) - {SUMS}, set(sums))
    for member, data in small.items():
        if member != SUMS and _sha256(data) != sums[member]:
            raise ReaperError(f"{place}/{member}", "is not what SHA256SUMS says", AGAIN)
    lock = locks.parse(_text(f"{place}/{LOCK}", small[LOCK]), f"{place}/{LOCK}")
    manifests = {name: data for member, data in small.items() if (name := model_of(member)) is not None}
    _same_models(place, models, lock, manifests)
    _blobs(place, sizes, sums, lock)
    return Contents(lock, manifests, sums)


def _text(place: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ReaperError(place, "is no text", AGAIN) from None


def _index(place: str, data: bytes) -> dict[str, str]:
    try:
        document = json.loads(_text(place, data))
    except (ValueError, RecursionError):
        raise ReaperError(place, "is not JSON", AGAIN) from None
    schema = document.get("schema") if isinstance(document, Mapping) else None
    if schema != SCHEMA:
        newer = isinstance(schema, str) and schema.startswith(FAMILY)
        hint = "read it with the reaper_ops that wrote it, or a newer one" if newer else AGAIN
        raise ReaperError(place, f"has the schema {schema!r}, this reaper_ops reads {SCHEMA}", hint)
    models = document.get("models")
    if not isinstance(models, Mapping) or not models:
        raise ReaperError(place, "names no models", AGAIN)
    return {str(name): str(digest) for name, digest in models.items()}


def _sums(place: str, data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(_text(place, data).splitlines(), 1):
        match = _SUM.match(line)
        member = match.group(2).removeprefix("./") if match else ""
        if match is None or member in found or not is_member(member):
            raise ReaperError(f"{place}:{number}", "is no line of a bundle's SHA256SUMS", AGAIN)
        found[member] = match.group(1)
    return found


def _same(place: str, there: set[str], summed: set[str]) -> None:
    if missing := sorted(summed - there):
        raise ReaperError(f"{place}/{missing[0]}", f"is missing{_more(missing)}: the bundle is cut off", AGAIN)
    if extra := sorted(there - summed):
        raise ReaperError(f"{place}/{extra[0]}", f"is not in SHA256SUMS{_more(extra)}", AGAIN)


def _more(found: list[str]) -> str:
    return f" (and {len(found) - 1} more)" if len(found) > 1 else ""


def _same_models(place: str, models: Mapping[str, str], lock: Lock, manifests: Mapping[str, bytes]) -> None:
    """Index, lock and manifests name the same models with the same digests, and the lock has the manifests' blobs."""
    locked = {one.name: one for one in lock.models}
    for name in sorted({*models, *locked, *manifests}):
        one, data = locked.get(name), manifests.get(name)
        if one is None or data is None or name not in models:
            raise ReaperError(f"{place}/{name}", "is not in index, lock and manifests alike", AGAIN)
        digest = f"sha256:{_sha256(data)}"
        read = from_manifest(name, data, digest, f"{place}/{manifest_member(name)}", one.at)
        if not models[name] == one.digest == digest or read.blobs != one.blobs:
            raise ReaperError(f"{place}/{name}", "has a manifest that is not the one of its lock", AGAIN)


def _blobs(place: str, sizes: Mapping[str, int], sums: Mapping[str, str], lock: Lock) -> None:
    """Every blob is named by a model, has the size that its manifest says, and the sum that its name says."""
    named = {blob_member(digest): size for one in lock.models for digest, size in one.blobs.items()}
    there = {member for member in sizes if _BLOB.match(member)}
    if missing := sorted(set(named) - there):
        raise ReaperError(f"{place}/{missing[0]}", "is missing, and a manifest names it", AGAIN)
    if extra := sorted(there - set(named)):
        raise ReaperError(f"{place}/{extra[0]}", "is named by no manifest", AGAIN)
    for member, size in named.items():
        if sizes[member] != size:
            raise ReaperError(f"{place}/{member}", f"has {sizes[member]} bytes, its manifest says {size}", AGAIN)
        if sums[member] != member.rpartition("-")[2]:
            raise ReaperError(f"{place}/{member}", "has another sum in SHA256SUMS than its name says", AGAIN)
