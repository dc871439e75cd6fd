"""What settings mean, worked out for the checks alone; held against the package's own answers."""

import pytest

from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import layout, render
from reaper_ops.verify.expected import DROPIN, UNIT, VARIABLES, Expected, model_paths, same

GIVEN = (
    {},
    {"ollama_keep_alive": "10m", "ollama_flash_attention": True, "ollama_origins": ["https://a.example"]},
    {"ollama_bind": "::1", "ollama_port": 8080, "ollama_env": {"OLLAMA_NOPRUNE": True}},
    {"ollama_runtime": "docker", "ollama_context_length": 4096},
    {"ollama_runtime": "process", "ollama_https_proxy": "http://proxy.example:3128", "gpu_vendor": "none"},
)


def expected_of(settings: Settings) -> Expected:
    return Expected("host", settings.model_dump(mode="json"), settings.models())


@pytest.mark.parametrize("variables", GIVEN, ids=str)
def test_the_second_opinion_agrees_with_what_is_rendered(variables: dict[str, object]) -> None:
    settings = Settings(**variables)
    rendered = render.context(settings, render.neutral("host"))["environment"]
    expected = expected_of(settings).environment
    assert {name: rendered.get(name) for name in expected if not same(expected[name], rendered.get(name, ""))} == {}


def test_paths_agree_with_the_layout() -> None:
    assert (UNIT, DROPIN) == (layout.UNIT, layout.DROPIN)


def test_every_typed_variable_is_checked() -> None:
    from reaper_ops.core.inventory.environment import TYPED

    assert set(TYPED) <= {*VARIABLES, "ollama_origins"}


@pytest.mark.parametrize(
    ("bind", "good", "bad"),
    [("127.0.0.1", "127.0.0.1", "0.0.0.0"), ("0.0.0.0", "::", "127.0.0.1"), ("::1", "::1", "::")],
)
def test_addresses(bind: str, good: str, bad: str) -> None:
    exposure = "open" if bind == "0.0.0.0" else "loopback"
    addresses = expected_of(Settings(ollama_bind=bind, exposure=exposure)).addresses
    assert good in addresses
    assert bad not in addresses


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("llama3:8b", "manifests/registry.ollama.ai/library/llama3/8b"),
        ("llama3:8b", "manifests-v2/ollama.com/library/llama3/8b"),
        ("mirror.example:5000/library/tiny:latest", "manifests-v2/mirror.example%3A5000/library/tiny/latest"),
        ("ada/mine:latest", "manifests/registry.ollama.ai/ada/mine/latest"),
        ("mirror.example:5000/library/tiny:latest", "manifests/mirror.example:5000/library/tiny/latest"),
    ],
)
def test_model_paths(name: str, path: str) -> None:
    assert path in model_paths(name)


@pytest.mark.parametrize(
    ("wanted", "found", "equal"), [("1", "true", True), ("0", "1", False), ("10m", "10m", True), ("4", "5", False)]
)
def test_same(wanted: str, found: str, equal: bool) -> None:
    assert same(wanted, found) is equal
