"""Small GGUF model files: written for the lab's models, read as far as the server reads them itself."""

from __future__ import annotations

import array
import os
import random
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

MAGIC = b"GGUF"
_ALIGN = 32
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_U32, _F32, _STRING, _ARRAY, _I32 = 4, 6, 8, 9, 5


class BadFile(Exception):
    """The text is the real server's."""


@dataclass(frozen=True)
class LabHeader:
    values: dict[str, Any]
    tensors: tuple[tuple[str, tuple[int, ...]], ...]
    size: int


@dataclass(frozen=True)
class Shape:
    """What a lab model looks like; the weights are noise from `seed`."""

    name: str
    seed: int = 1
    embedding: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 128
    words: int = 253
    context: int = 2048

    @property
    def vocabulary(self) -> list[str]:
        tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
        return tokens + [f"▁w{number}" for number in range(self.words)]

    def tensors(self) -> list[tuple[str, tuple[int, ...]]]:
        wide, kv = self.embedding, self.embedding // self.heads * self.kv_heads
        vocabulary = len(self.vocabulary)
        found: list[tuple[str, tuple[int, ...]]] = [
            ("token_embd.weight", (wide, vocabulary)),
            ("output_norm.weight", (wide,)),
            ("output.weight", (wide, vocabulary)),
        ]
        per_layer = (
            ("attn_norm", (wide,)),
            ("ffn_norm", (wide,)),
            ("attn_q", (wide, wide)),
            ("attn_k", (wide, kv)),
            ("attn_v", (wide, kv)),
            ("attn_output", (wide, wide)),
            ("ffn_gate", (wide, self.feed_forward)),
            ("ffn_up", (wide, self.feed_forward)),
            ("ffn_down", (self.feed_forward, wide)),
        )
        for layer in range(self.layers):
            found += [(f"blk.{layer}.{name}.weight", shape) for name, shape in per_layer]
        return found

    def values(self) -> list[tuple[str, int, Any]]:
        tokens = self.vocabulary
        kinds = [2, 3, 3] + [6] * 256 + [1] * self.words
        return [
            ("general.architecture", _STRING, "llama"),
            ("general.name", _STRING, self.name),
            ("llama.context_length", _U32, self.context),
            ("llama.embedding_length", _U32, self.embedding),
            ("llama.block_count", _U32, self.layers),
            ("llama.feed_forward_length", _U32, self.feed_forward),
            ("llama.attention.head_count", _U32, self.heads),
            ("llama.attention.head_count_kv", _U32, self.kv_heads),
            ("llama.attention.layer_norm_rms_epsilon", _F32, 1e-5),
            ("llama.rope.dimension_count", _U32, self.embedding // self.heads),
            ("general.file_type", _U32, 0),
            ("llama.vocab_size", _U32, len(tokens)),
            ("tokenizer.ggml.model", _STRING, "llama"),
            ("tokenizer.ggml.tokens", _ARRAY, (_STRING, tokens)),
            ("tokenizer.ggml.scores", _ARRAY, (_F32, [0.0] * len(tokens))),
            ("tokenizer.ggml.token_type", _ARRAY, (_I32, kinds)),
            ("tokenizer.ggml.bos_token_id", _U32, 1),
            ("tokenizer.ggml.eos_token_id", _U32, 2),
            ("tokenizer.ggml.unknown_token_id", _U32, 0),
        ]


def count(shape: tuple[int, ...]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total


def parameters(header: LabHeader) -> int:
    return sum(count(shape) for _, shape in header.tensors)


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _value(kind: int, value: Any) -> bytes:
    if kind == _STRING:
        return _text(value)
    if kind == _ARRAY:
        inner, items = value
        return struct.pack("<IQ", inner, len(items)) + b"".join(_value(inner, item) for item in items)
    return struct.pack(_SCALARS[kind], value)


def build(shape: Shape) -> bytes:
    tensors, values = shape.tensors(), shape.values()
    head = [MAGIC, struct.pack("<IQQ", 3, len(tensors), len(values))]
    head += [_text(key) + struct.pack("<I", kind) + _value(kind, value) for key, kind, value in values]
    offset, body, source = 0, [], random.Random(shape.seed)
    for name, sides in tensors:
        head.append(_text(name) + struct.pack(f"<I{len(sides)}QIQ", len(sides), *sides, 0, offset))
        data = _weights(source, sides)
        data += b"\0" * (-len(data) % _ALIGN)
        body.append(data)
        offset += len(data)
    start = b"".join(head)
    return start + b"\0" * (-len(start) % _ALIGN) + b"".join(body)


def _weights(source: random.Random, sides: tuple[int, ...]) -> bytes:
    if len(sides) == 1:
        return array.array("f", [1.0] * sides[0]).tobytes()
    noise = source.getrandbits(8 * count(sides)).to_bytes(count(sides), "little")
    return array.array("f", [(byte - 127.5) / 1024 for byte in noise]).tobytes()


def read(path: str) -> LabHeader:
    """Metadata and tensor list; raises BadFile with the server's own texts, OSError when it cannot be opened."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        if size == 0:
            raise BadFile("EOF")
        if file.read(4) != MAGIC:
            raise BadFile("invalid file magic")
        try:
            header, end = _header(file, size), file.tell()
        except (struct.error, KeyError, UnicodeDecodeError, MemoryError, OverflowError):
            raise BadFile("unexpected EOF") from None
    start = end + (-end % _ALIGN)
    position = start
    for name, sides in header.tensors:
        length = 4 * count(sides)
        if position + length > size:
            raise BadFile(f'tensor "{name}" offset+size ({position + length}) exceeds file size ({size})')
        position += length + (-length % _ALIGN)
    return header


def _take(file: BinaryIO, form: str) -> Any:
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]


def _read_text(file: BinaryIO) -> str:
    length = _take(file, "<Q")
    if length > 1 << 24:
        raise KeyError(length)
    return file.read(length).decode()


def _read_value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _read_text(file)
    if kind == _ARRAY:
        inner, length = _take(file, "<I"), _take(file, "<Q")
        return [_read_value(file, inner) for _ in range(length)]
    return _take(file, _SCALARS[kind])


def _header(file: BinaryIO, size: int) -> LabHeader:
    _, tensors, pairs = _take(file, "<I"), _take(file, "<Q"), _take(file, "<Q")
    values: dict[str, Any] = {}
    for _ in range(min(pairs, size)):
        key = _read_text(file)
        values[key] = _read_value(file, _take(file, "<I"))
    found: list[tuple[str, tuple[int, ...]]] = []
    for _ in range(min(tensors, size)):
        name = _read_text(file)
        sides = tuple(_take(file, "<Q") for _ in range(_take(file, "<I")))
        _take(file, "<I"), _take(file, "<Q")
        found.append((name, sides))
    return LabHeader(values, tuple(found), size)
