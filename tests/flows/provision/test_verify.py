"""The checks as the user runs them: pytest below, but none of the user's pytest settings."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reaper_ops.adapters import process
from reaper_ops.adapters.ansible import Source
from reaper_ops.core.provision.verification import UNKNOWN
from reaper_ops.flows.provision import verify as flow

Outcome = tuple[int, dict[str, dict[str, dict[str, str]]]]
INVENTORY = {
    "all": {
        "hosts": {
            "here": {"ansible_connection": "local"},
            "gone": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1},
        },
        "vars": {"ollama_runtime": "process", "ollama_version": "0.35.1-lab.1"},
    }
}


def verify(directory: Path, *arguments: str) -> Outcome:
    """Exit code, and per host each check by its id."""
    for host in INVENTORY["all"]["hosts"].values():
        host["ollama_home"] = str(directory / "ollama")
    (directory / "hosts.json").write_text(json.dumps(INVENTORY))
    (directory / "conftest.py").write_text("raise RuntimeError('the conftest of the user was loaded')")
    (directory / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    command = [sys.executable, "-m", "reaper_ops", "verify", "-i", "hosts.json", "-o", "json", *arguments]
    root = str(Path(__file__).resolve().parents[3])
    env = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout, done.stderr
    hosts = json.loads(done.stdout)["hosts"]
    return done.returncode, {h["host"]: {c["id"]: c for c in h["checks"]} for h in hosts}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return verify(tmp_path_factory.mktemp("verify"))


def test_a_bare_host_fails_with_reasons(outcome: Outcome) -> None:
    code, hosts = outcome
    assert code == 3
    assert hosts["here"]["process-runs"]["outcome"] == "failed"
    assert hosts["here"]["process-runs"]["detail"] == "there is no process with the noted pid"
    assert "does not answer" in hosts["here"]["version"]["detail"]


def test_checks_of_other_runtimes_are_not_made(outcome: Outcome) -> None:
    assert not {"service-runs", "container-runs", "swap-file", "gpu-is-used"} & set(outcome[1]["here"])


def test_an_unreachable_host_is_unknown(outcome: Outcome) -> None:
    assert {check["outcome"] for check in outcome[1]["gone"].values()} == {"unknown"}
    assert outcome[1]["gone"]["version"]["detail"] == (
        "cannot be reached: nothing listens for SSH at 127.0.0.1 port 1; "
        "start it on the host (`systemctl enable --now ssh`), or correct ansible_port"
    )


def test_through_ansible_the_sentence_is_the_same(tmp_path: Path) -> None:
    """A user that is named makes Ansible the way; it is asked once, and its own words are put into ours."""
    _, hosts = verify(tmp_path, "--limit", "gone", "--user", "maria", "--forks", "1")
    assert "cannot be reached: nothing listens for SSH at 127.0.0.1 port 1; " in hosts["gone"]["version"]["detail"]


def test_as_many_hosts_at_once_as_forks_says() -> None:
    from reaper_ops.adapters.ansible import Source
    from reaper_ops.core.inventory import hosts as inventory
    from reaper_ops.flows.provision.verify import _shares

    rows: dict[str, dict[str, str]] = {f"h{number}": {} for number in range(9)}
    found = inventory.parse({"_meta": {"hostvars": rows}, "all": {"hosts": list(rows)}}, {}).hosts
    assert sorted(len(share.hosts) for share in _shares(found, Source(("x",)), rows, 3)) == [3, 3, 3]


def test_only_unreachable_hosts_mean_exit_5(tmp_path: Path) -> None:
    code, hosts = verify(tmp_path, "--limit", "gone")
    assert code == 5
    assert list(hosts) == ["gone"]


LOCAL = {"ansible_connection": "local"}


@dataclass
class Pytest:
    """Stands in for the runs of pytest; those that have a host of `breaking` end as one that crashes."""

    breaking: frozenset[str] = frozenset()
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    entered: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run(self, argv: list[str], env: dict[str, str]) -> process.Result:
        document = json.loads(Path(env["REAPER_OPS_VERIFY_EXPECTED"]).read_text())
        self.settings |= {row["host"]: row["settings"] for row in document["hosts"]}
        for place in env.get("ANSIBLE_INVENTORY", "").split(","):
            for name, row in json.loads(Path(place).read_text())["all"]["hosts"].items() if place else ():
                self.entered[name] = {**self.entered.get(name, {}), **row}
        names = [row["host"] for row in document["hosts"]]
        if self.breaking & set(names):
            return process.Result(tuple(argv), 3, "INTERNALERROR> \x1b[2J", "")
        rows = [{"host": name, "id": "version", "title": "t", "outcome": "passed"} for name in names]
        Path(env["REAPER_OPS_VERIFY_RESULTS"]).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return process.Result(tuple(argv), 0, "", "")


def inventory(directory: Path, **hosts: dict[str, Any]) -> str:
    path = directory / "hosts.json"
    path.write_text(json.dumps({"all": {"hosts": hosts, "vars": {"ollama_runtime": "process"}}}))
    return str(path)


def test_checks_that_crash_on_one_host_hide_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"good{number}" for number in range(9)]
    stand_in = Pytest(frozenset({"bad"}))
    hosts = inventory(
        tmp_path, **{name: {**LOCAL, "ollama_port": 12000 + at} for at, name in enumerate([*names, "bad"])}
    )
    listed = flow.ansible.listing(Source((hosts,)))
    monkeypatch.setattr(flow.ansible, "listing", lambda source: listed)
    monkeypatch.setattr(
        flow.ansible, "inventory", lambda source, read=flow.ansible.inventory: read(source, found=listed)
    )
    monkeypatch.setattr(flow.process, "run", stand_in.run)
    monkeypatch.setattr(flow, "AT_ONCE", 10)
    found = flow.verify(Source((hosts,)))
    assert {one.host: one.outcome for one in found.checks} == {**dict.fromkeys(names, "passed"), "bad": UNKNOWN}
    assert found.status == "unknown"


def test_extra_variables_count_as_in_every_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the desired state, and for how hosts are entered, directly or through Ansible."""
    typed = ("ollama_port=12000", "ansible_user=ops", "ansible_password=x")
    hosts = inventory(tmp_path, one={"ansible_connection": "ssh", "ansible_user": "root", "ollama_port": 11500})
    wanted = flow.ansible.inventory(Source((hosts,), extra_vars=typed)).hosts[0].settings
    stand_in = Pytest()
    run = process.run
    monkeypatch.setattr(
        flow.process, "run", lambda argv, **more: (stand_in.run if "pytest" in argv else run)(argv, **more)
    )
    flow.verify(Source((hosts,), extra_vars=typed))
    assert stand_in.settings["one"]["ollama_port"] == wanted.ollama_port == 12000
    assert stand_in.settings["one"] == wanted.model_dump(mode="json")
    assert (stand_in.entered["one"]["ansible_user"], stand_in.entered["one"]["ansible_password"]) == ("ops", "x")
