"""The head of a GGUF file, as far as the description of a model needs it. Lengths in it are a stranger's."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9
LONGEST = 16 << 20
MOST_TENSORS = 1 << 20
MOST_PAIRS = 1 << 16
MOST_VALUES = 1 << 24
DEEPEST = 4
DIMENSIONS = 4
"""As many as ggml knows (GGML_MAX_DIMS)."""
BIGGEST = (1 << 63) - 1
HEAD = 1 << 27
"""No header is larger; what would be is read no further."""
WANTED = ("general.architecture", "general.file_type", "tokenizer.chat_template")
QUANTISATIONS = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
}


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
DAMAGED = "has a damaged GGUF header"


class NotGguf(ValueError):
    """What is wrong, in a few words."""


@dataclass(frozen=True)
class GgufHeader:
    architecture: str
    quantisation: str
    parameters: int
    has_template: bool

    @property
    def size(self) -> str:
        """The number of parameters as Ollama shows it: 8.0B is 8B, 7241732096 is 7.2B."""
        for unit, letter, digits in ((10**9, "B", 1), (10**6, "M", 2)):
            if self.parameters >= unit:
                number = self.parameters / unit
                return f"{number:.0f}{letter}" if number.is_integer() else f"{number:.{digits}f}{letter}"
        return f"{self.parameters / 1000:.0f}K" if self.parameters >= 1000 else str(self.parameters)


def read(file: BinaryIO) -> GgufHeader:
    """Raises NotGguf for anything else than a GGUF file of version 2 or 3."""
    if file.read(4) != b"GGUF":
        raise NotGguf("is no GGUF file")
    try:
        return _header(_Head(file))
    except (struct.error, UnicodeDecodeError, KeyError):
        raise NotGguf(DAMAGED) from None


class _Head:
    """The first bytes of a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._left = file, HEAD

    def read(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise NotGguf(f"has a header of more than {HEAD} bytes")
        return self._file.read(size)


def _header(file: _Head) -> GgufHeader:
    version = _take(file, "<I")
    if version not in {2, 3}:
        raise NotGguf(f"is GGUF of version {version}; 2 and 3 are known")
    tensors = _bounded(_take(file, "<Q"), MOST_TENSORS)
    pairs = _bounded(_take(file, "<Q"), MOST_PAIRS)
    values: dict[str, Any] = {}
    for _ in range(pairs):
        key = _text(file)
        value = _value(file, _take(file, "<I"), 0)
        values.update({key: value} if key in WANTED else {})
    total = 0
    for _ in range(tensors):
        _text(file)
        total = _bounded(total + _elements(file), BIGGEST)
        _skip(file, struct.calcsize("<IQ"))
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not NAME.match(architecture):
        raise NotGguf("names no architecture")
    kind = values.get("general.file_type")
    quantisation = QUANTISATIONS.get(kind, "unknown") if isinstance(kind, int) else "unknown"
    return GgufHeader(architecture, quantisation, total, bool(values.get("tokenizer.chat_template")))


def _take(file: _Head, form: str) -> Any:
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]


def _elements(file: _Head) -> int:
    """Of one tensor."""
    count = 1
    for _ in range(_bounded(_take(file, "<I"), DIMENSIONS)):
        count = _bounded(count * int(_take(file, "<Q")), BIGGEST)
    return count


def _bounded(count: int, most: int) -> int:
    if count > most:
        raise NotGguf(DAMAGED)
    return count


def _skip(file: _Head, size: int) -> None:
    """Past what nobody needs; a file may not be able to seek, and one that ends before is damaged."""
    while size:
        data = file.read(min(size, 1 << 20))
        if not data:
            raise struct.error
        size -= len(data)


def _text(file: _Head) -> str:
    length = _bounded(_take(file, "<Q"), LONGEST)
    data = file.read(length)
    if len(data) < length:
        raise struct.error
    return data.decode("utf-8")


def _value(file: _Head, kind: int, depth: int) -> Any:
    """Arrays are stepped over."""
    if kind == STRING:
        return _text(file)
    if kind != ARRAY:
        return _take(file, SCALARS[kind])
    inner, count = _take(file, "<I"), _bounded(_take(file, "<Q"), MOST_VALUES)
    _bounded(depth, DEEPEST)
    if inner in SCALARS:
        _skip(file, count * struct.calcsize(SCALARS[inner]))
        return None
    for _ in range(count):
        _value(file, inner, depth + 1)
    return None
