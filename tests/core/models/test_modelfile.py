"""Modelfiles and GGUF headers: what they make, and what is said of those that are none."""

from __future__ import annotations

import hashlib
import io
import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops.core.models import gguf_header, modelfile
from reaper_ops.core.models.gguf_header import GgufHeader, NotGguf
from reaper_ops.core.models.lock import from_manifest
from reaper_ops.core.models.modelfile import ModelPart
from reaper_ops.errors import ReaperError
from reaper_ops.lab.ollama import gguf

TEXT = '''# ours
FROM ./m.gguf
template """{{ .System }}
{{ .Prompt }}"""
SYSTEM "Be brief."
PARAMETER temperature 0.3
PARAMETER stop "<s>"
PARAMETER stop </s>
PARAMETER num_ctx 512
PARAMETER use_mmap false

LICENSE """MIT
two lines"""
LICENSE BSD
MESSAGE user hi
MESSAGE assistant """hello
there"""
'''
MAIN = ModelPart("m.gguf", "sha256:" + "a" * 64, 7, GgufHeader("llama", "Q4_K_M", 8_030_261_312, False))
EYES = ModelPart("mmproj.gguf", "sha256:" + "b" * 64, 8, GgufHeader("clip", "F16", 1, False))


def test_what_a_modelfile_says():
    found = modelfile.parse(TEXT, "Modelfile")
    assert found.files == ("./m.gguf",)
    assert found.texts == {"template": "{{ .System }}\n{{ .Prompt }}", "system": "Be brief."}
    assert found.parameters == {"temperature": 0.3, "stop": ["<s>", "</s>"], "num_ctx": 512, "use_mmap": False}
    assert found.licenses == ("MIT\ntwo lines", "BSD")
    assert found.messages == (("user", "hi"), ("assistant", "hello\nthere"))
    assert modelfile.parse(TEXT.replace("\n", "\r\n"), "x") == found


def test_the_manifest_is_the_same_bytes_each_time_and_its_blobs_are_there():
    parsed = modelfile.parse(TEXT, "Modelfile")
    one = modelfile.build(parsed, (MAIN, EYES), (), "Modelfile")
    assert one == modelfile.build(modelfile.parse(TEXT, "Modelfile"), (MAIN, EYES), (), "Modelfile")
    manifest = json.loads(one.manifest)
    kinds = [row["mediaType"].rpartition(".")[2] for row in manifest["layers"]]
    assert kinds == ["model", "projector", "template", "system", "license", "license", "params", "messages"]
    entry = from_manifest("m", one.manifest, f"sha256:{hashlib.sha256(one.manifest).hexdigest()}", "", "")
    assert set(entry.blobs) == {*one.texts, *one.files}
    assert all(entry.blobs[digest] == len(data) for digest, data in one.texts.items())
    config = json.loads(one.texts[manifest["config"]["digest"]])
    assert config == {
        "model_format": "gguf",
        "model_family": "llama",
        "model_families": ["llama", "clip"],
        "model_type": "8.0B",
        "file_type": "Q4_K_M",
        "architecture": "amd64",
        "os": "linux",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SYSTEM x", "has no FROM"),
        ("FROM", "FROM has no value"),
        ("RUN rm -rf /", "is not known here"),
        ("FROM x\nPARAMETER heat 3", "there is no parameter 'heat'"),
        ("FROM x\nPARAMETER num_ctx many", "is no value of num_ctx"),
        ("FROM x\nPARAMETER stop", "wants two words"),
        ("FROM x\nMESSAGE robot hi", "is no role"),
        ('FROM x\nSYSTEM """open', 'no closing """'),
        ('FROM x\nSYSTEM "open', 'no closing "'),
    ],
)
def test_mistakes_name_their_line(text, words):
    with pytest.raises(ReaperError, match="Modelfile") as caught:
        modelfile.parse(text, "Modelfile")
    assert words in str(caught.value)


def test_two_models_are_no_model():
    with pytest.raises(ReaperError, match="names 2 models"):
        modelfile.build(modelfile.parse("FROM a\nFROM b", "x"), (MAIN, MAIN), (), "x")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='FROM from"\n# PARAMETERstop\t', max_size=60))
def test_any_text_is_a_modelfile_or_a_mistake(text):
    try:
        found: object = modelfile.parse(text, "x").files
    except ReaperError as error:
        found = error.problem
    assert found


def test_the_header_of_a_gguf():
    data = gguf.build(gguf.Shape("x"))
    found = gguf_header.read(io.BytesIO(data))
    assert (found.architecture, found.quantisation, found.has_template) == ("llama", "F32", False)
    assert found.size == f"{found.parameters / 1000:.0f}K"


@pytest.mark.parametrize(
    ("count", "shown"),
    [(8 * 10**9, "8B"), (7241732096, "7.2B"), (137_022_720, "137.02M"), (22_000_000, "22M"), (9, "9")],
)
def test_sizes_are_shown_as_ollama_shows_them(count, shown):
    assert GgufHeader("x", "F16", count, False).size == shown


HEAD = gguf.build(gguf.Shape("x"))[:9000]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(HEAD)), st.binary(max_size=12))
def test_a_damaged_header_is_a_mistake_and_no_bomb(at, change):
    data = HEAD[:at] + change + HEAD[at + len(change) :]
    try:
        found: object = gguf_header.read(io.BytesIO(data)).architecture
    except NotGguf as error:
        found = str(error)
    assert isinstance(found, str)


def test_promised_lengths_are_not_believed():
    long = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 60)
    many = b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 0)
    for data in (long, many):
        with pytest.raises(NotGguf, match="damaged"):
            gguf_header.read(io.BytesIO(data))
    with pytest.raises(NotGguf, match="version 9"):
        gguf_header.read(io.BytesIO(b"GGUF" + struct.pack("<I", 9)))
