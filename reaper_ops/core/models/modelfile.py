"""A Modelfile, and the manifest that it makes of GGUF files: the same bytes wherever it is made."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reaper_ops.core.models.gguf_header import GgufHeader
from reaper_ops.errors import ReaperError

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.ollama.image."
WHOLE = frozenset(
    (
        *("num_keep", "seed", "num_predict", "top_k", "repeat_last_n", "num_ctx", "num_batch", "num_gpu", "main_gpu"),
        *("num_thread", "draft_num_predict"),
    )
)
DECIMAL = frozenset(
    (
        *("top_p", "min_p", "typical_p", "temperature"),
        *("repeat_penalty", "presence_penalty", "frequency_penalty"),
    )
)
TRUTH = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
ROLES = frozenset({"system", "user", "assistant"})
SINGLE = frozenset({"template", "system", "renderer", "parser", "requires"})
STEP = "see https://docs.ollama.com/modelfile"
_QUOTED = re.compile(r'\A"""(.*?)"""[ \t]*(?:\n|\Z)', re.DOTALL)


@dataclass(frozen=True)
class Modelfile:
    """files: paths of FROM; texts: TEMPLATE, SYSTEM, RENDERER, PARSER, REQUIRES as they are given last."""

    files: tuple[str, ...]
    adapters: tuple[str, ...]
    texts: Mapping[str, str]
    parameters: Mapping[str, Any]
    licenses: tuple[str, ...]
    messages: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ModelPart:
    """A GGUF file that becomes a layer."""

    path: str
    digest: str
    size: int
    header: GgufHeader


@dataclass(frozen=True)
class BuiltModel:
    """manifest: its bytes; texts: the small layers and the configuration by digest; files: the large ones."""

    manifest: bytes
    texts: Mapping[str, bytes]
    files: Mapping[str, str]


def parse(text: str, place: str) -> Modelfile:
    rows = list(_commands(text.replace("\r\n", "\n"), place))
    files = tuple(value for _, word, value in rows if word == "from")
    if not files:
        raise ReaperError(place, "has no FROM", "name the GGUF file: FROM ./model.gguf")
    return Modelfile(
        files,
        tuple(value for _, word, value in rows if word == "adapter"),
        {word: value for _, word, value in rows if word in SINGLE},
        _parameters([(at, value) for at, word, value in rows if word == "parameter"], place),
        tuple(value for _, word, value in rows if word == "license"),
        tuple(_message(f"{place}:{at}", value) for at, word, value in rows if word == "message"),
    )


def _commands(text: str, place: str) -> Any:
    """(line, command, value): key and role stay in front of the value, which has lost its quotes."""
    position = 0
    while position < len(text):
        line = text.count("\n", 0, position) + 1
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        words = text[position:end].strip()
        if not words or words.startswith("#"):
            position = end + 1
            continue
        word, start = words.split(None, 1)[0].lower(), ""
        if word not in SINGLE | {"from", "adapter", "parameter", "license", "message"}:
            raise ReaperError(f"{place}:{line}", f"{word.upper()!r} is not known here", STEP)
        at = text.index(words, position) + len(word)
        if word in {"parameter", "message"}:
            rest = text[at:end].split(None, 1)
            if len(rest) < 2:
                raise ReaperError(f"{place}:{line}", f"{word.upper()} wants two words", STEP)
            start = rest[0] + " "
            at = text.index(rest[0], at) + len(rest[0])
        value, position = _value(text, at, end, f"{place}:{line}")
        if not value:
            raise ReaperError(f"{place}:{line}", f"{word.upper()} has no value", STEP)
        yield line, word, start + value


def _value(text: str, at: int, end: int, place: str) -> tuple[str, int]:
    """The value, and where the next line begins."""
    while at < end and text[at] in " \t":
        at += 1
    if text.startswith('"""', at):
        match = _QUOTED.match(text[at:])
        if match is None:
            raise ReaperError(place, 'has no closing """', STEP)
        return match.group(1), at + match.end()
    value = text[at:end].strip()
    if value.startswith('"'):
        if len(value) < 2 or not value.endswith('"'):
            raise ReaperError(place, 'has no closing "', 'texts of several lines stand in """')
        value = value[1:-1]
    return value, end + 1


def _parameters(rows: list[tuple[int, str]], place: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for line, row in rows:
        key, _, value = row.partition(" ")
        key = key.lower()
        try:
            if key == "stop":
                found.setdefault(key, []).append(value)
            elif key == "use_mmap":
                found[key] = TRUTH[value.lower()]
            elif key in WHOLE | DECIMAL:
                found[key] = int(value) if key in WHOLE else _finite(value)
            else:
                raise ReaperError(f"{place}:{line}", f"there is no parameter {key!r}", STEP)
        except (ValueError, KeyError):
            raise ReaperError(f"{place}:{line}", f"{value!r} is no value of {key}", STEP) from None
    return found


def _finite(value: str) -> float:
    """What JSON can say."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _message(place: str, row: str) -> tuple[str, str]:
    role, _, text = row.partition(" ")
    if role.lower() not in ROLES:
        raise ReaperError(place, f"{role!r} is no role", f"one of {', '.join(sorted(ROLES))}")
    return role.lower(), text


def build(parsed: Modelfile, files: tuple[ModelPart, ...], adapters: tuple[ModelPart, ...], place: str) -> BuiltModel:
    """Layers in the order in which a server writes them."""
    main = [one for one in files if one.header.architecture != "clip"]
    if len(main) != 1:
        raise ReaperError(
            place, f"names {len(main)} models by FROM", "name one, and its projector (mmproj) if it has one"
        )
    texts: dict[str, bytes] = {}
    layers = [_row("model", main[0].digest, main[0].size)]
    layers += [_row("projector", one.digest, one.size) for one in files if one is not main[0]]
    layers += [_row("adapter", one.digest, one.size) for one in adapters]
    for kind, data in _small(parsed):
        layers.append(_row(kind, *_kept(texts, data)))
    config = _config(parsed, main[0].header, files)
    digest, size = _kept(texts, _json(config))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": digest, "size": size},
        "layers": layers,
    }
    return BuiltModel(_json(manifest), texts, {one.digest: one.path for one in (*files, *adapters)})


def _small(parsed: Modelfile) -> list[tuple[str, bytes]]:
    found = [(kind, parsed.texts[kind].encode()) for kind in ("template", "system") if kind in parsed.texts]
    found += [("license", text.encode()) for text in parsed.licenses]
    found += [("params", _json(dict(sorted(parsed.parameters.items()))))] if parsed.parameters else []
    messages = [{"role": role, "content": text} for role, text in parsed.messages]
    return found + ([("messages", _json(messages))] if messages else [])


def _config(parsed: Modelfile, header: GgufHeader, files: tuple[ModelPart, ...]) -> dict[str, Any]:
    families = list(dict.fromkeys([header.architecture, *(one.header.architecture for one in files)]))
    found = {
        "model_format": "gguf",
        "model_family": header.architecture,
        "model_families": families,
        "model_type": header.size,
        "file_type": header.quantisation,
    }
    found |= {key: parsed.texts[key] for key in ("renderer", "parser", "requires") if key in parsed.texts}
    return {**found, "architecture": "amd64", "os": "linux"}


def _row(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": LAYER_TYPE + kind, "digest": digest, "size": size}


def _kept(texts: dict[str, bytes], data: bytes) -> tuple[str, int]:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    texts[digest] = data
    return digest, len(data)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
