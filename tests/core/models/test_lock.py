"""`models.lock`: what was written is read again; what is damaged is named."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops.core.models import lock, names
from reaper_ops.core.values import full_model_name, model_name
from reaper_ops.errors import ReaperError

DIGESTS = st.binary(max_size=4).map(lambda data: "sha256:" + hashlib.sha256(data).hexdigest())
LAYERS = st.builds(lock.Layer, DIGESTS, st.integers(0, 1 << 40), st.sampled_from(["", "application/x"]))
PART = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_-]{0,8}\Z")
NAMES = st.builds("{}:5000/{}/{}:{}".format, PART, PART, PART, PART)
MODELS = st.builds(
    lock.Locked, NAMES, DIGESTS, st.just("m"), st.lists(LAYERS, min_size=1, max_size=4).map(tuple), st.just("u"), PART
)


@settings(max_examples=60, deadline=None)
@given(st.lists(MODELS, max_size=5, unique_by=lambda one: names.key(one.name)))
def test_a_lock_survives_its_text_whatever_the_order(models):
    text = lock.dump(lock.Lock(tuple(models)))
    again = lock.parse(text)
    assert again.by_key == lock.Lock(tuple(models)).by_key
    assert lock.dump(again) == text
    assert lock.dump(lock.Lock(tuple(reversed(models)))) == text


@settings(max_examples=80, deadline=None)
@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)))
def test_a_damaged_entry_is_named_and_never_a_defect(value):
    text = json.dumps({"schema": lock.SCHEMA, "models": {"library/x:y": value}})
    with pytest.raises(ReaperError, match=r"here/library/x:y: .*models lock"):
        lock.parse(text, "here")


@pytest.mark.parametrize("text", ["", "[]", '{"schema": "other"}', '{"schema": "reaper-ops/models.lock/1"}'])
def test_what_is_no_lock_is_refused_with_the_next_step(text):
    with pytest.raises(ReaperError, match=r"^here: .*`reaper-ops models lock`$"):
        lock.parse(text, "here")


@pytest.mark.parametrize(
    ("written", "full", "short"),
    [
        ("llama3", "registry.ollama.ai/library/llama3:latest", "llama3:latest"),
        ("me/llama3:8b", "registry.ollama.ai/me/llama3:8b", "me/llama3:8b"),
        ("hf.co/Ns/Model-GGUF:Q4_K_M", "hf.co/Ns/Model-GGUF:Q4_K_M", "hf.co/Ns/Model-GGUF:Q4_K_M"),
        ("127.0.0.1:5000/library/tiny", "127.0.0.1:5000/library/tiny:latest", "127.0.0.1:5000/library/tiny:latest"),
    ],
)
def test_names_have_a_whole_and_a_short_form(written, full, short):
    assert (names.canonical(model_name(written)), names.short(written)) == (full, short)
    assert names.key(written) == full_model_name(written)


def test_a_mirror_knows_a_model_under_its_own_host():
    mirror = names.mirror("http://mirror.example.org:8080")
    name = names.split("llama3:8b")
    assert mirror.has(name)
    assert not mirror.has(names.split("hf.co/a/b:c"))
    assert name.at(mirror.host).full == "mirror.example.org:8080/library/llama3:8b"
    assert (mirror.insecure, mirror.base_url) == (True, "http://mirror.example.org:8080")


def test_a_page_in_place_of_a_manifest_is_named():
    with pytest.raises(ReaperError, match="does not answer with a manifest"):
        lock.from_manifest("x", b"<html>", "sha256:" + "0" * 64, "https://r/v2/library/x/manifests/latest", "now")
