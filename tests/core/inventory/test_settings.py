"""Reading settings: one error per mistake, and speed by checking equal sets once."""

import pytest
from pydantic import ValidationError

from reaper_ops.core.inventory import hosts as inventory
from reaper_ops.core.inventory import settings
from reaper_ops.core.inventory.settings import Settings, combinations
from reaper_ops.core.inventory.settings.model import CHOICES


def test_null_means_the_default():
    wanted, errors = settings.parse("h", {name: None for name in settings.names() if name not in CHOICES})
    assert errors == ()
    assert wanted == Settings()


def test_null_is_no_choice():
    _, [error] = settings.parse("h", {"exposure": None})
    assert str(error) == "h/exposure: is empty; write loopback or open"


def test_every_mistake_of_a_host_is_told_at_once():
    _, errors = settings.parse("h", {"ollama_prot": 1, "ollama_port": 0, "swap_kind": "x"})
    assert [error.place for error in errors] == ["h/ollama_prot", "h/ollama_port", "h/swap_kind"]


def test_every_impossible_combination_is_told_at_once():
    _, errors = settings.parse("h", {"exposure": "open", "gpu_vendor": "none", "gpu_require": True})
    assert [error.place for error in errors] == ["h/exposure", "h/gpu_require"]


def test_settings_made_in_code_are_checked_alike():
    with pytest.raises(ValidationError, match="exposure: is open"):
        Settings(exposure="open")


@pytest.mark.parametrize("ignored", [["docker_*"], "docker_edition, docker_users", ["docker_edition", "docker_users"]])
def test_variables_of_other_roles_are_left_alone(ignored):
    variables = {"docker_edition": "ce", "docker_users": ["me"], "reaper_ignore": ignored}
    assert settings.relevant(variables) == {}


def test_only_variables_that_claim_to_be_ours_are_read():
    variables = {"ansible_port": 22, "ntp_servers": [], "ollama_port": 1, "olama_port": 2, "note": "x"}
    assert list(settings.relevant(variables)) == ["ollama_port", "olama_port"]


def test_sets_are_resolved_in_order_and_each_model_is_named_once():
    sets = {"small": ("llama3:8b", "mistral"), "all": ("@small", "codellama", "mistral")}
    wanted = Settings(ollama_models=("codellama", "@all"), ollama_model_sets=sets)
    assert wanted.models() == ("codellama:latest", "llama3:8b", "mistral:latest")


def test_every_rule_of_combinations_has_a_name_of_its_own():
    assert len({rule.__name__ for rule in combinations.RULES}) == len(combinations.RULES)


def test_equal_variables_are_checked_once(monkeypatch):
    calls = []
    real = settings.parse_set
    monkeypatch.setattr(settings, "parse_set", lambda variables: calls.append(1) or real(variables))
    hosts = {f"h{n}": {"ollama_models": ["llama3"], "ansible_host": f"10.0.0.{n}"} for n in range(1, 200)}
    found = inventory.parse({"_meta": {"hostvars": hosts}})
    assert len(found.hosts) == 199
    assert len(calls) == 1
