# SPDX-License-Identifier: Apache-2.0
"""Parses answers of servers and registries into the few types they may have; no answer is trusted.

For observers, a value that is out of range, of another type or too long is None (or empty); for callers that lock or
write it, it is a `ValueError` with the reason. Standard library only.
"""

from __future__ import annotations

import json
import math
import re

BIGGEST = (1 << 63) - 1
"""Ollama and registries use int64 for sizes and counts."""
MANIFEST = 8 << 20
LONGEST = 2000
MOST_PARTS = 100000
MOST_MODELS = 5000
MOST_LAYERS = 10000
SHOWN = 80
DIGITS = 19
DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_HEX = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})\Z")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+/;= -]{0,199}\Z")
_VERSION = re.compile(r"[!-~]{1,64}\Z")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}\Z")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}\Z")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}\Z")


class NoManifest(ValueError):
    """Something other than a registry answers."""


def _whole(digits):
    """Python parses numbers of any length, slowly; no reader below accepts infinity as an integer."""
    return int(digits) if len(digits) <= DIGITS + 1 else math.inf


def _decimal(digits):
    return float(digits) if len(digits) <= 64 else math.inf


def document(text, parts=MOST_PARTS):
    """The JSON value; None for text that is not JSON, or too deeply nested or too large to be an answer."""
    if text.count("{") + text.count("[") > parts:
        return None
    try:
        return json.loads(text, parse_int=_whole, parse_float=_decimal, parse_constant=float)
    except (ValueError, RecursionError):
        return None


def mapping(text):
    """The JSON object; empty for anything else."""
    found = document(text)
    return found if isinstance(found, dict) else {}


def whole(value):
    """A 64-bit integer; True is not one."""
    good = isinstance(value, int) and not isinstance(value, bool) and -BIGGEST <= value <= BIGGEST
    return value if good else None


def count(value):
    """A size or a count."""
    number = whole(value)
    return None if number is None or number < 0 else number


def digits(text):
    """A count from a header or a name; None for non-ASCII digits, signs and more than 64 bits."""
    good = isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= DIGITS
    return count(int(text)) if good else None


def words(value, longest=LONGEST):
    """Text that UTF-8 can hold, cut at `longest`; empty for another type."""
    return value[:longest].encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else ""


def version(value):
    """A version, which is one word; None for anything else."""
    return value if isinstance(value, str) and _VERSION.match(value) else None


def digest(value):
    """The hex digits of a digest; empty for anything else."""
    match = _HEX.match(value) if isinstance(value, str) else None
    return match.group(1) if match else ""


def is_name(value):
    """Whether this is a valid model name: [[host/]namespace/]model[:tag] (types/model/name.go)."""
    if not isinstance(value, str) or len(value) > 600:
        return False
    path, _, tag = value.rpartition(":") if ":" in value.rsplit("/", 1)[-1] else (value, "", "latest")
    parts = path.split("/")
    good = len(parts) <= 3 and _PART.match(parts[-1]) and _PART.match(tag)
    good = good and (len(parts) < 2 or _NAMESPACE.match(parts[-2]))
    return bool(good and (len(parts) < 3 or _HOST.match(parts[0])))


def escaped(value):
    """An untrusted value, made safe for one of our messages."""
    text = ascii(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def rows(text):
    """({name, digest, size, …} of each model that /api/tags or /api/ps lists, what was left out); None for no list."""
    found = mapping(text)
    if "models" not in found or not isinstance(found["models"] or [], list):
        return None
    listed = found["models"] or []
    good = [row for row in listed[:MOST_MODELS] if isinstance(row, dict) and is_name(row.get("name"))]
    odd = [row for row in listed[:MOST_MODELS] if not (isinstance(row, dict) and is_name(row.get("name")))]
    left = [escaped(row.get("name") if isinstance(row, dict) else row) for row in odd[:3]]
    more = len(odd) - len(left) + max(0, len(listed) - MOST_MODELS)
    return [_row(row) for row in good], left + (["%d more" % more] if more else [])


def _row(row):
    """The answer's object with each value of its type. An absent key stays absent."""
    kept = {"name": row["name"], "digest": digest(row.get("digest")), "size": count(row.get("size"))}
    kept.update({key: count(row[key]) for key in ("size_vram", "context_length") if key in row})
    kept.update({key: words(row[key], 400) for key in ("modified_at", "expires_at", "remote_model") if key in row})
    return kept


def complaint(value):
    """`error` of the native, OpenAI and Anthropic shapes."""
    error = value.get("error") if isinstance(value, dict) else None
    return words(error.get("message") if isinstance(error, dict) else error)


def progress(text):
    """One line of a pull as {status, digest, total, completed, error}; ValueError, with the reason, for any other."""
    line = document(text, 100)
    if not isinstance(line, dict):
        raise ValueError("a line that is not JSON: %s" % escaped(text[:SHOWN]))
    kept = {}
    for key, good in (("status", _is_words), ("error", _is_words), ("digest", _is_id), ("total", _is_count)):
        if line.get(key) not in (None, ""):
            kept[key] = _checked(line, key, good)
    if line.get("completed") is not None:
        kept["completed"] = _checked(line, "completed", _is_count)
    return kept


def _checked(line, key, good):
    value = line[key]
    if not good(value):
        raise ValueError("a line whose `%s` is %s" % (key, escaped(value)))
    return words(value) if isinstance(value, str) else value


def _is_words(value):
    return isinstance(value, str)


def _is_id(value):
    return isinstance(value, str) and len(value) <= 200 and value.isascii() and value.isprintable()


def _is_count(value):
    return count(value) is not None


def layers(data):
    """([(digest, size, media type), …] of a manifest, the configuration first, its own media type).

    ValueError, with the reason, for a manifest that must not be locked.
    """
    if len(data) > MANIFEST:
        raise ValueError("is larger than %d bytes" % MANIFEST)
    try:
        found = document(bytes(data).decode("utf-8"))
    except UnicodeDecodeError:
        found = None
    listed = found.get("layers") if isinstance(found, dict) else None
    if not isinstance(listed, list) or not isinstance(found.get("config"), dict):
        raise NoManifest("has no configuration and no list of layers")
    if len(listed) > MOST_LAYERS:
        raise ValueError("has %d layers; at most %d are taken" % (len(listed), MOST_LAYERS))
    entries = [found["config"], *listed]
    kept = [_layer(row) for row in entries]
    if len({(*row, words(entries[place].get("name"))) for place, row in enumerate(kept)}) < len(kept):
        raise ValueError("has a layer twice")
    if len({row[:2] for row in kept}) > len({row[0] for row in kept}):
        raise ValueError("has a layer of two sizes")
    if count(sum(row[1] for row in kept)) is None:
        raise ValueError("has sizes beyond any disk")
    return kept, _media_type(found, "the manifest")


def _layer(row):
    name = row.get("digest") if isinstance(row, dict) else None
    if not isinstance(name, str) or not DIGEST.match(name):
        raise ValueError("has a layer with the digest %s" % escaped(name))
    if count(row.get("size")) is None:
        raise ValueError("has a layer of the size %s" % escaped(row.get("size")))
    return name, row["size"], _media_type(row, name[:19])


def _media_type(row, place):
    kind = row.get("mediaType")
    if kind in (None, ""):
        return ""
    if not isinstance(kind, str) or not _MEDIA_TYPE.match(kind):
        raise ValueError("has the media type %s at %s" % (escaped(kind), place))
    return kind
