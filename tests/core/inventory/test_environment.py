"""Which variables a release of the server reads; the rows are facts from its source, release by release."""

import pytest

from reaper_ops import assets
from reaper_ops.core.inventory import environment
from reaper_ops.core.inventory.settings import Settings

ROWS = assets.data("environment.json")["variables"]


@pytest.mark.parametrize(
    ("name", "first", "before", "last", "after"),
    [
        ("OLLAMA_CONTEXT_LENGTH", "0.5.13", "0.5.12", None, None),
        ("OLLAMA_NO_CLOUD", "0.16.2", "0.16.1", None, None),
        ("OLLAMA_NEW_ENGINE", "0.5.12", "0.5.11", "0.24.0", "0.30.0"),
        ("OLLAMA_MULTIUSER_CACHE", "0.5.0", None, "0.24.0", "0.30.0"),
        ("OLLAMA_NEW_ESTIMATES", "0.11.5", "0.11.4", "0.11.10", "0.11.11"),
        ("OLLAMA_INTEL_GPU", "0.5.0", None, "0.12.10", "0.12.11"),
        ("OLLAMA_VULKAN", "0.12.11", "0.12.10", None, None),
        ("OLLAMA_MAX_VRAM", "0.5.0", None, "0.6.8", "0.7.0"),
        ("OLLAMA_TMPDIR", "0.5.0", None, "0.5.1", "0.5.2"),
        ("OLLAMA_IGPU_ENABLE", "0.30.0", "0.24.0", None, None),
        ("OLLAMA_GO_TEMPLATE", "0.30.0", "0.24.0", None, None),
        ("OLLAMA_DEBUG_LOG_REQUESTS", "0.18.3", "0.18.2", None, None),
        ("OLLAMA_MAX_TRANSFER_STREAMS", "0.23.3", "0.23.2", None, None),
        ("OLLAMA_REMOTES", "0.12.0", "0.11.11", None, None),
    ],
)
def test_a_variable_is_known_from_its_first_to_its_last_release(name, first, before, last, after):
    assert name in environment.known(first)
    assert before is None or name not in environment.known(before)
    assert name in environment.known(last or "0.32.15")
    assert after is None or name not in environment.known(after)


def test_the_rows_are_whole():
    for name, row in ROWS.items():
        assert set(row) - {"reader"} == {"kind", "since", "until"}, name
        assert row["kind"] in {"bool", "uint", "duration", "string", "level"}
        first, last = environment.version_key(row["since"]), row["until"] and environment.version_key(row["until"])
        assert environment.version_key(environment.oldest()) <= first
        assert last is None or first <= last


def test_every_typed_setting_exists_and_names_a_variable_of_the_table():
    assert set(environment.TYPED) <= set(Settings.model_fields)
    assert set(environment.TYPED.values()) <= set(ROWS)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("OLLAMA_NOPRUNE", "off", "Ollama reads 'off' as true (Go's boolean rule); write true or false"),
        ("OLLAMA_NOPRUNE", "no", "Ollama reads 'no' as true (Go's boolean rule); write true or false"),
        ("OLLAMA_GPU_OVERHEAD", "1G", "'1G' is not a whole number, and Ollama would silently use its default"),
        ("OLLAMA_GPU_OVERHEAD", True, "True is not a whole number, and Ollama would silently use its default"),
        ("OLLAMA_GPU_OVERHEAD", -1, "-1 is not a whole number, and Ollama would silently use its default"),
        ("OLLAMA_EDITOR", "vi", "only Ollama's command line reads this variable, the server does not; remove it"),
        ("OLLAMA_PORT", 1, "Ollama 0.35.1 does not know this variable; did you mean OLLAMA_HOST?"),
        ("OLLAMA_HOST", "x", "is set by ollama_bind and ollama_port"),
        ("OLLAMA_KEEP_ALIVE", "5m", "is set by ollama_keep_alive"),
        ("OLLAMA_INTEL_GPU", True, "Ollama 0.35.1 does not read OLLAMA_INTEL_GPU; 0.12.10 was the last release"),
    ],
)
def test_a_variable_that_does_not_do_what_is_meant_is_named(name, value, problem):
    [(place, found)] = environment.problems("0.35.1", {name: value})
    assert place == f"ollama_env/{name}"
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OLLAMA_NOPRUNE", True),
        ("OLLAMA_NOPRUNE", "TRUE"),
        ("OLLAMA_NOPRUNE", 1),
        ("OLLAMA_GPU_OVERHEAD", 536870912),
        ("OLLAMA_GPU_OVERHEAD", "536870912"),
        ("OLLAMA_LLM_LIBRARY", "cuda_v12"),
    ],
)
def test_a_good_variable_passes(name, value):
    assert environment.problems("0.35.1", {name: value}) == []


@pytest.mark.parametrize(
    ("kind", "value"), [("level", 2), ("level", "true"), ("level", False), ("duration", "1h30m"), ("duration", -1)]
)
def test_values_that_the_server_reads_as_meant(kind, value):
    assert environment.misread(kind, value) == ""


def test_typed_settings_become_variables():
    settings = Settings(ollama_keep_alive=-1, ollama_flash_attention=False, ollama_origins="https://a.b,https://c.d")
    assert environment.from_typed(dict(settings)) == {
        "OLLAMA_KEEP_ALIVE": "-1",
        "OLLAMA_FLASH_ATTENTION": "0",
        "OLLAMA_ORIGINS": "https://a.b,https://c.d",
    }


def test_a_prompt_cache_of_zero_is_set_and_releases_without_llama_server_do_not_read_it() -> None:
    assert environment.from_typed({"ollama_prompt_cache": 0}) == {"LLAMA_ARG_CACHE_RAM": "0"}
    assert environment.from_typed({"ollama_prompt_cache": None}) == {}
    [(setting, problem)] = environment.typed_problems("0.24.0", {"ollama_prompt_cache": 512})
    assert (setting, "0.30.0 is the first release that does" in problem) == ("ollama_prompt_cache", True)
    assert environment.typed_problems("0.35.1", {"ollama_prompt_cache": 512}) == []
