"""Which name a model has at the mirror: by its registry, at the mirror's own port or at a further one."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.mirror import desired_state
from reaper_ops.core.models import request

HF = "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M"
OWN = "registry.lan:5000/team/model:1"


def settings(**more):
    given = {"ollama_models": ["tiny", HF, OWN], "ollama_mirror": "http://models.lan:8080"}
    return Settings.model_validate({**given, **more})


def test_each_registry_has_its_place():
    found = settings(ollama_mirror_sources={"HF.co": 8081})
    assert request.sources(found) == {
        "tiny:latest": "models.lan:8080/library/tiny:latest",
        HF: "models.lan:8081/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
    }
    assert request.plain_http(found) == {"models.lan:8080", "models.lan:8081"}
    assert request.sources(found, [OWN, HF]) == {HF: request.sources(found)[HF]}
    one = settings(ollama_mirror_registries=["registry.ollama.ai", "hf.co", "registry.lan:5000"])
    assert request.sources(one)[OWN] == "models.lan:8080/team/model:1"
    tls = settings(ollama_mirror="https://models.lan", ollama_mirror_sources={"hf.co": 8443})
    assert request.plain_http(tls) == frozenset()
    assert request.sources(tls)[HF].startswith("models.lan:8443/")


@pytest.mark.parametrize("wrong", [{"https://hf.co": 81}, {"hf.co": 0}, {"hf.co": 81, "own:5000": 81}, {"hf.co": "x"}])
def test_what_is_no_registry_or_port_is_refused(wrong):
    with pytest.raises(ValidationError):
        settings(ollama_mirror_sources=wrong)


def test_the_mirror_asks_a_source_by_plain_http_only_where_that_was_said():
    asked = {
        "mirror_runtime": "process",
        "mirror_port": 8080,
        "mirror_sources": {"hf.co": 8081, "registry.lan:5000": 8082},
    }
    rows = desired_state.of(
        Settings.model_validate({**asked, "ollama_insecure_registries": ["registry.lan:5000"]})
    ).context
    assert {row["name"]: row["url"] for row in rows["sources"]} == {
        "registry.ollama.ai": "https://registry.ollama.ai",
        "hf.co": "https://hf.co",
        "registry.lan:5000": "http://registry.lan:5000",
    }
