"""`models pull --limit-rate` and `--wait-window`: what is promised is kept, or refused before a byte is fetched."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest
from models_fleet import fleet

from reaper_ops.adapters import maintenance_window as hours
from reaper_ops.cli.program import run
from reaper_ops.core.models import maintenance_window as window
from reaper_ops.lab import registry as registry_of_the_lab


@pytest.fixture
def one(tmp_path):
    with fleet(tmp_path, "one") as found:
        yield found


def refused(capfd, inventory, *words):
    capfd.readouterr()
    code = run(["models", "pull", "-i", inventory, "-l", "one", *words])
    assert code == 2
    return capfd.readouterr().err


def test_a_cap_that_nobody_would_keep_is_refused_before_a_host_is_touched(one, capfd):
    said = refused(capfd, one.write("tiny"), "--limit-rate", "50M")
    assert "and Ollama has no cap; use --strategy swarm, or a site mirror with mirror_rate" in said
    assert "--push-rate caps what each host gets" in refused(
        capfd, one.inventory, "--strategy", "push", "--limit-rate", "9M"
    )
    assert "is not a size" in refused(capfd, one.inventory, "--limit-rate", "fast")
    assert one.listed("one") == {}


def test_a_pull_stops_when_its_window_closes_and_the_next_run_goes_on(one, capfd, monkeypatch):
    """The clock is set so that the window closes soon."""
    registry = one.registry.name
    inventory = one.write("tiny", ollama_models=[f"{registry}/slow/small:latest"])
    ahead = datetime(2026, 3, 10, 5, 59, 55) - datetime.now()
    monkeypatch.setattr(hours, "now", lambda: datetime.now() + ahead)
    words = ["models", "pull", "-i", inventory, "-l", "one", "--via", "api", "--wait-window", "22:00-06:00"]
    assert run(words) == 4
    said = capfd.readouterr().err
    assert "the window is over (22:00-06:00 " in said
    assert "the same command goes on in the next window" in said
    assert one.listed("one") == {}
    monkeypatch.setattr(registry_of_the_lab, "SLOW", 64 << 20)
    ahead += timedelta(hours=1)
    assert run([*words[:-1], "06:30-07:30"]) == 0
    assert len(one.listed("one")) == 1


def test_outside_its_window_a_pull_waits_and_says_until_when(one, capfd, monkeypatch):
    inventory = one.write("tiny")
    ahead = datetime(2026, 3, 10, 21, 59, 58) - datetime.now()
    monkeypatch.setattr(hours, "now", lambda: datetime.now() + ahead)
    assert run(["models", "pull", "-i", inventory, "-l", "one", "--wait-window", "22:00-06:00"]) == 0
    assert "waiting for the window 22:00-06:00 until 22:00 " in capfd.readouterr().err
    assert refused(capfd, inventory, "--wait-window", "tonight").startswith("error: --wait-window: 'tonight' is no")


def test_a_window_that_closed_while_the_machine_slept_is_over_at_the_next_look(monkeypatch):
    at = [datetime(2026, 3, 10, 5, 0)]
    monkeypatch.setattr(hours, "now", lambda: at[0])
    monkeypatch.setattr(hours, "LOOK_EVERY", 0.05)
    until = time.monotonic() + 5

    def work():
        with hours.only_in(window.parse("22:00-06:00")):
            time.sleep(0.2)
            at[0] = datetime(2026, 3, 10, 8, 0)
            while time.monotonic() < until:
                time.sleep(0.05)

    with pytest.raises(window.Closed):
        work()
    assert time.monotonic() < until
