"""The head of a GGUF file, as far as the description of a model needs it. Lengths in it are a stranger's."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9
LONGEST = 16 << 20
MOST = 1 << 24
DEEPEST = 4
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


class NotGguf(ValueError):
    """What is wrong, in a few words."""


@dataclass(frozen=True)
class Header:
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


def read(file: BinaryIO) -> Header:
    """Raises NotGguf for anything else than a GGUF file of version 2 or 3."""
    if file.read(4) != b"GGUF":
        raise NotGguf("is no GGUF file")
    try:
        return _header(file)
    except (struct.error, UnicodeDecodeError, KeyError, OverflowError):
        raise NotGguf("has a damaged GGUF header") from None


def _header(file: BinaryIO) -> Header:
    version = _take(file, "<I")
    if version not in {2, 3}:
        raise NotGguf(f"is GGUF of version {version}; 2 and 3 are known")
    tensors, pairs = _bounded(_take(file, "<Q")), _bounded(_take(file, "<Q"))
    values: dict[str, Any] = {}
    for _ in range(pairs):
        key = _text(file)
        values[key] = _value(file, _take(file, "<I"), 0)
    total = 0
    for _ in range(tensors):
        _text(file)
        count = 1
        for _ in range(_bounded(_take(file, "<I"))):
            count *= _take(file, "<Q")
        total += count
        _take(file, "<IQ")
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise NotGguf("names no architecture")
    kind = values.get("general.file_type")
    quantisation = QUANTISATIONS.get(kind, "unknown") if isinstance(kind, int) else "unknown"
    return Header(architecture, quantisation, total, bool(values.get("tokenizer.chat_template")))


def _take(file: BinaryIO, form: str) -> Any:
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]


def _bounded(count: int) -> int:
    if count > MOST:
        raise NotGguf("has a damaged GGUF header")
    return count


def _text(file: BinaryIO) -> str:
    length = _take(file, "<Q")
    if length > LONGEST:
        raise NotGguf("has a damaged GGUF header")
    data = file.read(length)
    if len(data) < length:
        raise struct.error
    return data.decode("utf-8")


def _value(file: BinaryIO, kind: int, depth: int) -> Any:
    """Arrays are stepped over."""
    if kind == STRING:
        return _text(file)
    if kind != ARRAY:
        return _take(file, SCALARS[kind])
    inner, count = _take(file, "<I"), _bounded(_take(file, "<Q"))
    if depth > DEEPEST:
        raise NotGguf("has a damaged GGUF header")
    for _ in range(count):
        _value(file, inner, depth + 1)
    return None
