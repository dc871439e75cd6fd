"""`survey`: one run of Ansible tells the inventory and reads the hosts; it says what two runs would say."""

import shlex
import sys
from pathlib import Path

import pytest

from reaper_ops.adapters import ansible, process
from reaper_ops.adapters.ansible import Source
from reaper_ops.core.inventory import hosts as inventory
from reaper_ops.errors import CommandError, ReaperError
from reaper_ops.flows.inventory.gather import survey

ROOT = Path(__file__).parents[3]
GOOD = ROOT / "tests/inventories/good"
NAMES = sorted(path.stem for path in GOOD.glob("*.expect"))
UNREACHABLE = "ansible_host: 192.0.2.1, ansible_ssh_common_args: -o ConnectTimeout=2"


def good(name: str) -> Source:
    path = next(p for p in GOOD.glob(f"{name}*") if p.suffix not in {".expect", ".args", ".vars"})
    words = shlex.split((GOOD / f"{name}.args").read_text()) if (GOOD / f"{name}.args").exists() else []
    values = dict(zip(words[::2], words[1::2], strict=True))
    vault = (values["--vault-password-file"],) if "--vault-password-file" in values else ()
    extra = tuple(value for option, value in values.items() if option in {"-e", "--extra-vars"})
    return Source((values.get("-i", str(path.relative_to(ROOT))),), values.get("-l"), extra, vault)


@pytest.mark.parametrize("name", NAMES)
def test_the_run_lists_what_ansible_inventory_lists(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    source = good(name)
    with ansible.playing("settings.yml", source, listing=True) as program:
        told = program.listing()
        program.finish()
    listed = ansible.listing(source)
    assert told is not None
    assert inventory.needs_templating(told) == inventory.needs_templating(listed)
    assert list(inventory.host_variables(told)) == list(inventory.host_variables(listed))
    assert ansible.inventory(source, told) == ansible.inventory(source, listed)


def write(directory: Path, text: str) -> Source:
    (directory / "hosts.yml").write_text(text)
    return Source((str(directory / "hosts.yml"),))


def test_a_mistake_stops_the_run_before_hosts_are_waited_for(tmp_path: Path) -> None:
    source = write(tmp_path, f"all: {{hosts: {{far: {{{UNREACHABLE}}}, gpu1: {{ollama_prot: 1}}}}}}")
    with pytest.raises(ReaperError, match="gpu1/ollama_prot: unknown setting; did you mean ollama_port"):
        survey(source)


def test_a_pattern_that_matches_no_host_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path, "all: {hosts: {gpu1: {ansible_connection: local}}}")
    with pytest.raises(ReaperError, match="typo matches no host"):
        survey(Source(source.inventory, "gpu1,typo"))


def test_settings_with_templates_are_evaluated_by_the_same_run(tmp_path: Path) -> None:
    template = "{ansible_connection: local, ollama_runtime: process, ollama_port: '{{ 20000 + 5 }}'}"
    hosts, gathered = survey(write(tmp_path, f"all: {{hosts: {{here: {template}}}}}"))
    assert hosts.by_name["here"].settings.ollama_port == 20005
    assert set(gathered.facts) == {"here"}


def test_a_host_that_is_only_observed_is_not_read(tmp_path: Path) -> None:
    observed = f"{{{UNREACHABLE}, ollama_managed: false, ollama_base_url: 'http://192.0.2.1'}}"
    read = "{ansible_connection: local, ollama_runtime: process}"
    hosts, gathered = survey(write(tmp_path, f"all: {{hosts: {{far: {observed}, here: {read}}}}}"))
    assert hosts.names() == ("far", "here")
    assert set(gathered.facts) == {"here"}
    assert gathered.problems == {}


def test_a_host_that_does_not_answer_is_a_problem_of_its_own(tmp_path: Path) -> None:
    silent = "{ansible_host: 127.0.0.1, ansible_port: 9, ollama_port: '{{ 7 * 1000 }}'}"
    read = "{ansible_connection: local, ollama_runtime: process}"
    hosts, gathered = survey(write(tmp_path, f"all: {{hosts: {{silent: {silent}, here: {read}}}}}"))
    assert hosts.by_name["silent"].settings.ollama_port == 7000
    assert set(gathered.facts) == {"here"}
    assert "cannot be reached" in gathered.problems["silent"]


DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "


@pytest.mark.parametrize("deaf", ["", DEAF], ids=["hears", "ignores SIGINT"])
def test_an_exception_in_the_block_ends_the_program(deaf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PATIENCE", dict.fromkeys(process.PATIENCE, 1))
    seen: list[process.Started] = []
    with pytest.raises(ZeroDivisionError):
        interrupted(seen, deaf)
    assert seen[0].process.poll() is not None


def interrupted(seen: list[process.Started], deaf: str) -> None:
    code = f"{deaf}import time; print('up', flush=True); time.sleep(600)"
    with process.started([sys.executable, "-c", code]) as program:
        seen.append(program)
        assert next(program.lines()) == "up"
        raise ZeroDivisionError


COMPLAINING = """
import os, sys, time
print("one", file=sys.stderr, flush=True)
print("said", flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
print("two", file=sys.stderr)
"""


def test_what_it_complains_of_can_be_read_while_it_runs(tmp_path: Path) -> None:
    go = tmp_path / "go"
    with process.started([sys.executable, "-c", COMPLAINING, str(go)]) as program:
        assert next(program.lines()) == "said"
        assert program.complaints() == "one\n"
        go.touch()
        assert program.finish(lambda _: None).stderr == "one\ntwo\n"


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(CommandError, match="program not found"), process.started(["/no/such/program"]):
        pytest.fail("it started")
