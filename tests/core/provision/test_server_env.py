"""The server's environment, and the hash of what it runs from."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from reaper_ops.core.facts.gpu_chain import DeviceNode, Gpu, PciGpu
from reaper_ops.core.facts.model import Docker
from reaper_ops.core.inventory import settings as schema
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import render, server_env

UUID = "GPU-5d1b2c3e-4f60-7182-93a4-b5c6d7e8f901"
BARE = render.neutral("h")
AMD = dataclasses.replace(
    BARE, gpu=Gpu(pci=(PciGpu("0", "1002", "744c"),), nodes=(DeviceNode("/dev/kfd", 105, "0660"),))
)


def environment(**given: Any) -> dict[str, str]:
    found: dict[str, str] = render.context(Settings(**given), BARE)["environment"]
    return found


def config_hash(facts: Any = BARE, **given: Any) -> str:
    found: str = render.context(Settings(**given), facts)["config_hash"]
    return found


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({}, "OLLAMA_HOST", "127.0.0.1:11434"),
        ({"ollama_bind": "::1"}, "OLLAMA_HOST", "[::1]:11434"),
        ({"ollama_bind": "0.0.0.0", "exposure": "open", "ollama_port": 80}, "OLLAMA_HOST", "0.0.0.0:80"),
        ({"ollama_runtime": "docker", "ollama_port": 80}, "OLLAMA_HOST", "0.0.0.0:11434"),
        ({"ollama_flash_attention": False}, "OLLAMA_FLASH_ATTENTION", "0"),
        ({"ollama_no_cloud": True}, "OLLAMA_NO_CLOUD", "1"),
        ({"ollama_env": {"OLLAMA_NOPRUNE": True}}, "OLLAMA_NOPRUNE", "1"),
        ({"ollama_env": {"OLLAMA_NOPRUNE": "F"}}, "OLLAMA_NOPRUNE", "0"),
        ({"ollama_env": {"OLLAMA_GPU_OVERHEAD": 1024}}, "OLLAMA_GPU_OVERHEAD", "1024"),
        ({"ollama_load_timeout": "10m"}, "OLLAMA_LOAD_TIMEOUT", "10m"),
        ({"ollama_https_proxy": "http://p:1"}, "NO_PROXY", "localhost,127.0.0.1,::1"),
        ({"ollama_no_proxy": ["localhost", "x"]}, "NO_PROXY", "localhost,127.0.0.1,::1,x"),
        ({"gpu_devices": [UUID]}, "CUDA_VISIBLE_DEVICES", UUID),
        ({"ollama_runtime": "process", "gpu_vendor": "none"}, "CUDA_VISIBLE_DEVICES", "-1"),
        ({"ollama_origins": ["https://a", "app://*"]}, "OLLAMA_ORIGINS", "https://a,app://*"),
    ],
)
def test_a_setting_reaches_the_server(given: dict[str, Any], name: str, value: str) -> None:
    assert environment(**given)[name] == value


def test_nothing_is_set_that_nobody_asked_for() -> None:
    assert list(environment()) == ["HOME", "OLLAMA_MODELS", "OLLAMA_HOST", "REAPER_OPS_CONFIG"]
    assert list(environment(ollama_runtime="docker")) == ["OLLAMA_HOST", "REAPER_OPS_CONFIG"]
    assert "CUDA_VISIBLE_DEVICES" not in environment(ollama_runtime="docker", gpu_devices=[UUID])


def test_the_lab_s_server_learns_its_faults_and_its_card() -> None:
    lab = {"ollama_runtime": "process", "ollama_home": "/l", "lab_gpu": "nvidia:24G", "lab_expect": "healthy"}
    assert environment(**lab)["REAPER_OPS_LAB_FAULTS"] == "/l/faults.json"
    assert environment(**lab)["REAPER_OPS_LAB_GPU"] == "nvidia:24G"
    assert not [name for name in environment(lab_gpu="nvidia:24G") if "LAB" in name]


def test_amd_cards_are_chosen_by_rocm_s_own_variable() -> None:
    context = render.context(Settings(gpu_devices=("0",)), AMD)
    assert context["environment"]["ROCR_VISIBLE_DEVICES"] == "0"


@pytest.mark.parametrize(("bind", "address"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.0.0.7", "10.0.0.7")])
def test_the_host_reaches_its_own_server(bind: str, address: str) -> None:
    assert server_env.reachable(bind) == address


@pytest.mark.parametrize(
    "given",
    [
        {"ollama_keep_alive": "10m"},
        {"ollama_memory_max": "8G"},
        {"ollama_models_dir": "/srv/m"},
        {"ollama_version": "0.32.13"},
        {"gpu_vendor": "nvidia"},
    ],
)
def test_the_hash_changes_with_what_the_server_runs_from(given: dict[str, Any]) -> None:
    assert config_hash(**given) != config_hash()
    assert config_hash(ollama_runtime="docker", **given) != config_hash(ollama_runtime="docker")


@pytest.mark.parametrize("given", [{"swap_kind": "file"}, {"ollama_models": ["a"]}, {"ollama_base_url": "http://x"}])
def test_the_hash_stays_where_the_server_is_not_concerned(given: dict[str, Any]) -> None:
    assert config_hash(**given) == config_hash()


def test_another_reason_for_the_same_form_is_no_cause_for_a_restart() -> None:
    old = dataclasses.replace(BARE, docker=Docker("20.10.24", "2.26.1", True))
    unread = config_hash(BARE, ollama_runtime="docker", gpu_vendor="nvidia")
    assert config_hash(old, ollama_runtime="docker", gpu_vendor="nvidia") == unread


@pytest.mark.parametrize(
    "given",
    [
        {"ollama_models_dir": "/srv/\nExecStart=/bin/sh"},
        {"ollama_https_proxy": "http://p\n"},
        {"ollama_no_proxy": ["a\tb"]},
        {"ollama_env": {"OLLAMA_REMOTES": "a\x00"}},
        {"ollama_image": "x:1\x7f"},
    ],
)
def test_control_characters_are_refused_with_host_and_setting(given: dict[str, Any]) -> None:
    settings, errors = schema.parse("gpu1", given)
    assert settings is None
    assert errors[0].place.startswith(f"gpu1/{next(iter(given))}")
    assert "control character" in errors[0].problem


@pytest.mark.parametrize("path", ["/srv/o'neill", '/srv/"m"'])
def test_quotation_marks_in_paths_are_refused(path: str) -> None:
    settings, errors = schema.parse("gpu1", {"ollama_models_dir": path})
    assert settings is None
    assert "quotation mark" in errors[0].problem
