from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import OLLAMA, Server, free_port, http_server

from reaper_ops.cli.program import run
from reaper_ops.flows.health import watch


@pytest.fixture
def server() -> Iterator[Server]:
    with http_server() as running:
        yield running


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("REAPER_OPS_INVENTORY", raising=False)
    return tmp_path / "reaper_ops" / "config.json"


def test_probe_by_url(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["probe", "--url", server.url]) == 0
    out = capsys.readouterr().out
    assert out.startswith("127.0.0.1  healthy")
    assert out.rstrip().endswith("1 host: 1 healthy -> healthy (exit 0)")


def test_probe_as_json_with_the_exit_code_of_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["probe", "--url", f"http://127.0.0.1:{free_port()}", "-o", "json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["hosts"][0]["state"]) == ("reaper-ops/report/1", "connection-refused")


def test_probe_without_a_target_is_an_input_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["probe"]) == 2
    assert "give -i INVENTORY, or --url" in capsys.readouterr().err


def test_probe_of_an_inventory_needs_no_ansible_run_for_hosts_that_are_only_probed(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inventory = tmp_path / "hosts.ini"
    inventory.write_text(
        f"a ollama_base_url={server.url}\nb ollama_base_url={server.url}\n[all:vars]\nollama_managed=false\n"
    )
    assert run(["probe", "-i", str(inventory), "-l", "b"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("b  healthy")
    assert "1 host:" in out


def test_a_textfile_is_replaced_in_one_step_also_for_a_sick_host(server: Server, tmp_path: Path) -> None:
    real, given = tmp_path / "real.prom", tmp_path / "ollama.prom"
    real.write_text("old\n")
    given.symlink_to(real)
    words = ["-o", "prometheus", "--out", str(given)]
    with real.open() as reading:
        assert run(["probe", "--url", f"http://127.0.0.1:{free_port()}", *words]) == 3
        assert reading.read() == "old\n"
    assert 'state="connection-refused"} 1.0' in real.read_text()
    assert (given.is_symlink(), real.stat().st_mode & 0o777) == (True, 0o644)
    before = real.read_text()
    assert run(["probe", "--url", "http://bad url", *words]) == 2
    assert real.read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ollama.prom", "real.prom"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "/dev/null"], "/dev/null: is no file that could be replaced"),
        (["--out", "x", "--watch", "1"], "--out: goes with one probe"),
        (
            ["-o", "prometheus", "--watch", "1"],
            "-o prometheus: goes with one probe, not with --watch; `watch --metrics`",
        ),
    ],
)
def test_no_place_for_a_textfile(
    server: Server, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["probe", "--url", server.url, *words]) == 2
    assert said in capsys.readouterr().err


def test_login_confirms_shows_and_remembers(server: Server, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["auth", "login", "ollama", "--base-url", server.url + "/"]) == 0
    out = capsys.readouterr().out
    assert "no credentials needed" in out
    assert "0.35.1" in out
    assert "tiny:1m" in out
    assert json.loads(config.read_text()) == {"ollama": {"base_url": server.url}}
    assert run(["auth", "status"]) == 0
    assert server.url in capsys.readouterr().out


def test_login_remembers_only_what_answers(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["auth", "login", "ollama", "--base-url", f"http://127.0.0.1:{free_port()}"]) == 3
    assert "connection-refused" in capsys.readouterr().out
    assert not config.exists()


def test_logout_forgets_and_keeps_other_entries(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.parent.mkdir(parents=True)
    config.write_text('{"ollama": {"base_url": "http://a:11434"}, "other": 1}')
    assert run(["auth", "logout"]) == 0
    assert json.loads(config.read_text()) == {"other": 1}
    assert run(["auth", "logout", "ollama"]) == 0
    assert "nothing was remembered" in capsys.readouterr().out
    assert run(["auth", "status"]) == 5


def test_a_broken_configuration_is_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.parent.mkdir(parents=True)
    config.write_text("{")
    assert run(["auth", "status"]) == 2
    assert str(config) in capsys.readouterr().err


def test_an_unknown_provider_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["auth", "login", "nosuch"]) == 2
    assert "ollama" in capsys.readouterr().err


def test_a_server_on_loopback_is_asked_on_its_host_through_ansible(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = {"models": [{"name": "tiny:1m", "size": 9, "size_vram": 0, "context_length": 512}]}
    answers = {**OLLAMA, "/api/ps": loaded, "/api/generate": {"response": "x", "done": True}}
    with http_server(answers) as server:
        inventory = tmp_path / "hosts.ini"
        inventory.write_text(
            "a ansible_connection=ansible.builtin.local ansible_python_interpreter={{ansible_playbook_python}} "
            f"ollama_runtime=process ollama_home={tmp_path}/home ollama_port={server.server_address[1]}\n"
        )
        assert run(["probe", "-i", str(inventory), "--deep", "-o", "json"]) == 3
        asked = [(method, path) for method, path, _ in server.seen]
    found = json.loads(capsys.readouterr().out)["hosts"][0]
    assert (found["version"], found["models"]) == ("0.35.1", ["tiny:1m"])
    assert (found["state"], found["cause"]) == ("not-ollama", "port-taken"), "this test is not the managed server"
    assert asked == [("GET", "/api/version"), ("GET", "/api/tags"), ("GET", "/api/ps"), ("POST", "/api/generate")]


def test_watch_prints_changes_until_it_is_stopped(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def sleep(seconds: float) -> None:
        server.answers = {}
        asleep.append(seconds)
        if len(asleep) > 1:
            raise KeyboardInterrupt

    asleep: list[float] = []
    monkeypatch.setitem(watch.watch.__kwdefaults__, "sleep", sleep)
    assert run(["probe", "--url", server.url, "--watch", "7"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("127.0.0.1")][1].endswith("(was healthy)")
    assert lines[0].endswith("  healthy")
    assert asleep == [7, 7]
