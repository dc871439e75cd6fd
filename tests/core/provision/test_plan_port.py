"""Who holds the port is said before anything is touched, with commands that help."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from reaper_ops.core.facts import codec
from reaper_ops.core.facts.model import Holder
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import desired_state

BASES = json.loads((Path(__file__).parents[2] / "cases" / "plan" / "bases.json").read_text())
SERVE = ("/usr/local/bin/ollama", "serve")


def blockers(*holders: Holder, settings: Settings | None = None, **more: object) -> tuple[str, ...]:
    facts = replace(codec.load("case", BASES["debian13"]), listening=holders, **more)  # type: ignore[arg-type]
    return desired_state.derive(settings or Settings(), facts).plan.blockers


def test_an_ollama_that_somebody_started_by_hand_is_named_and_its_models_can_be_kept() -> None:
    by_hand = Holder("127.0.0.1", 11434, 421, "root", SERVE, store="/root/.ollama/models")
    (text,) = blockers(by_hand, Holder("0.0.0.0", 11435, 9))
    assert "held by /usr/local/bin/ollama serve (pid 421, user root)" in text
    assert "`sudo kill 421`" in text
    assert "`sudo -u root tar -C /root/.ollama/models -c . | sudo -u ollama tar -C /var/lib/ollama/models -x`" in text
    assert "`ollama_port: 11436`" in text


@pytest.mark.parametrize(
    ("holder", "parts"),
    [
        (Holder("0.0.0.0", 11434, 50, "www-data", ("nginx:", "master"), "nginx.service"),
         ("nginx: master (pid 50, user www-data, nginx.service)", "`sudo systemctl disable --now nginx.service`")),
        (Holder("::", 11434, 50, "root", ("/usr/bin/docker-proxy",), "docker.service", "web nginx:1"),
         ("the container web (nginx:1)", "`sudo docker stop web`")),
        (Holder("::", 11434, 1, "root", ("/sbin/init",), "api.socket"),
         ("systemd for api.socket", "`sudo systemctl disable --now api.socket`")),
        (Holder("127.0.0.1", 11434), ("a process of another user", "`sudo ss -ltnp 'sport = :11434'`")),
        (Holder("127.0.0.1", 11434, 7, "joe", ("python3", "-m", "http.server"), "session-2.scope"),
         ("python3 -m http.server (pid 7, user joe, session-2.scope)", "`sudo kill 7`")),
    ],
)  # fmt: skip
def test_every_other_holder_is_named_with_how_to_stop_it(holder: Holder, parts: tuple[str, ...]) -> None:
    (text,) = blockers(holder)
    assert all(part in text for part in parts), text
    assert "`ollama_port: 11435`" in text


@pytest.mark.parametrize(
    "holder",
    [
        Holder("127.0.0.1", 11434, 7, "ollama", SERVE, "ollama.service", ours=True),
        Holder("10.0.0.5", 11434, 50, "root", ("nginx",)),
        Holder("::1", 11434, 50, "root", ("nginx",)),
        Holder("::", 11434, 50, "root", ("nginx",), ipv6_only=True),
        Holder("127.0.0.1", 8080, 50, "root", ("nginx",)),
    ],
)
def test_our_own_server_and_addresses_that_do_not_conflict_are_no_obstacle(holder: Holder) -> None:
    assert blockers(holder) == ()


def test_the_server_of_our_former_runtime_is_taken_down_by_ourselves() -> None:
    unit = Holder("127.0.0.1", 11434, 7, "ollama", SERVE, "ollama.service")
    wanted = Settings(ollama_runtime="process", ollama_home="/home/me/o")
    (text,) = blockers(unit, settings=wanted, manifest={"units": ["ollama.service"]})
    assert "`reaper-ops down` with that runtime first" in text


def test_a_process_of_ours_is_known_by_its_mark_when_its_pid_file_is_lost() -> None:
    wanted = Settings(ollama_runtime="process", ollama_home="/home/me/o")
    ours = Holder("127.0.0.1", 11434, 7, "me", ("/home/me/o/current/bin/ollama", "serve"), mark="abc")
    assert blockers(ours, settings=wanted) == ()
    assert blockers(replace(ours, mark=""), settings=wanted) != ()
