"""The life of a fleet, in order: bare, up, proved, unchanged, broken in several ways, repaired, removed."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fleet.command import Answer, argv, reaper
from fleet.hosts import ENVIRONMENT, Host
from fleet.residue import Tree, tree
from fleet.world import ENGINE, MACHINE, SUITES, Fleet, wait_booted

NATIVE = ("deb12", "deb13")
FAULTS = "/var/lib/ollama/faults.json"
STORE = "/var/lib/ollama/models"
FAULT_DROPIN = "/etc/systemd/system/ollama.service.d/zzz-fault.conf"


def test_check_touches_nothing(fleet: Fleet, bare: dict[str, Tree], predicted: dict[str, tuple[str, ...]]) -> None:
    assert predicted["deb12"]
    assert tree(fleet.host("deb12")).differences(bare["deb12"]) == []


def test_check_predicts_what_apply_changes(first: Answer, predicted: dict[str, tuple[str, ...]]) -> None:
    assert first.changed()["deb12"] == list(predicted["deb12"])


def test_up_makes_bare_hosts_healthy(first: Answer) -> None:
    assert {name: first.states()[name] for name in NATIVE} == dict.fromkeys(NATIVE, "healthy")


@pytest.mark.vm
def test_up_makes_a_bare_machine_healthy(walk: tuple[Tree, Answer]) -> None:
    answer = walk[1]
    assert (answer.rc, answer.states()) == (0, {MACHINE: "healthy"}), answer.stderr
    assert {"swap/file", "ollama/release", "ollama/start", "models/pull"} <= set(answer.changed()[MACHINE])


def test_one_host_without_its_image_does_not_stop_the_others(first: Answer) -> None:
    assert first.rc == 3
    assert first.states()[ENGINE] == "connection-refused"
    assert "registry" in first.hosts[ENGINE]["problem"]
    assert "docker/packages" in first.changed()[ENGINE]


def test_up_goes_on_where_it_was_stopped(second: Answer) -> None:
    assert second.rc == 0, second.stdout
    assert set(second.states().values()) == {"healthy"}
    assert list(second.changed()) == [ENGINE]
    assert "docker/packages" not in second.changed()[ENGINE]


def test_probe_finds_every_host_healthy(fleet: Fleet, second: Answer) -> None:
    answer = reaper(fleet.inventory, "probe")
    assert answer.states() == dict.fromkeys((*SUITES, MACHINE), "healthy")
    assert answer.rc == 0


def test_verify_agrees(fleet: Fleet, second: Answer) -> None:
    answer = reaper(fleet.inventory, "verify")
    failed = {name: [c for c in host["checks"] if c["outcome"] != "passed"] for name, host in answer.hosts.items()}
    assert failed == {name: [] for name in (*SUITES, MACHINE)}
    assert answer.rc == 0


def test_up_again_changes_nothing(fleet: Fleet, second: Answer) -> None:
    answer = reaper(fleet.inventory, "up", "--yes")
    assert answer.changed() == {}
    assert answer.rc == 0


def test_plan_is_empty(fleet: Fleet, second: Answer) -> None:
    answer = reaper(fleet.inventory, "plan")
    assert {host["host"]: host["actions"] for host in answer.document["hosts"]} == {
        name: [] for name in (*SUITES, MACHINE)
    }


def test_a_stopped_service_is_connection_refused_and_up_starts_it(fleet: Fleet, second: Answer) -> None:
    host = fleet.host("deb12")
    host.ssh("systemctl stop ollama.service")
    answer = reaper(fleet.inventory, "probe", "-l", host.name)
    assert (answer.rc, answer.states()) == (3, {host.name: "connection-refused"})
    assert answer.hosts[host.name]["cause"] == "service-not-running"
    again = reaper(fleet.inventory, "up", "--yes", "-l", host.name)
    assert (again.states(), again.changed()[host.name]) == (
        {host.name: "healthy"},
        ["manifest/record", "ollama/start"],
    )


def starve(host: Host, limit: str) -> None:
    """Limits the memory of the server, and has the simulated model take more than that when it loads."""
    faults = json.dumps({"memory": {"bytes": 300 << 20}})
    lines = f"[Service]\\nEnvironment=REAPER_OPS_LAB_FAULTS={FAULTS}\\nMemoryMax={limit}\\nMemorySwapMax=0\\n"
    host.ssh(f"echo '{faults}' > {FAULTS}; chown ollama: {FAULTS}; printf '{lines}' > {FAULT_DROPIN}")
    host.ssh("systemctl daemon-reload; systemctl restart ollama.service", timeout=180)
    model = host.ssh("ls /var/lib/ollama/models/manifests/*/library/*/* | sed 's,.*/manifests/,,; s,/latest$,:latest,'")
    body = json.dumps({"model": model.stdout.strip(), "prompt": "Hello"})
    url = "http://127.0.0.1:11434/api"
    host.ssh(f"curl -sS --retry 60 --retry-connrefused --retry-delay 1 {url}/version", timeout=180)
    host.ssh(f"curl -sS -m 120 {url}/generate -d '{body}'", timeout=180, check=False)


def feed(host: Host) -> None:
    host.ssh(f"rm -f {FAULTS} {FAULT_DROPIN}; systemctl daemon-reload; systemctl restart ollama.service", timeout=180)


@pytest.mark.parametrize("name", ["deb12", pytest.param(MACHINE, marks=pytest.mark.vm)])
def test_a_model_killed_for_memory_is_out_of_memory(fleet: Fleet, second: Answer, name: str) -> None:
    host = fleet.host(name)
    starve(host, "150M")
    try:
        answer = reaper(fleet.inventory, "probe", "-l", name)
        evidence = "\n".join(item["text"] for item in answer.hosts[name]["evidence"])
        assert (answer.rc, answer.states()) == (3, {name: "out-of-memory"}), answer.stdout
        assert "Killed process" in evidence
        assert host.ssh("systemctl is-active ollama.service").stdout.strip() == "active"
    finally:
        feed(host)


def test_a_server_that_crashes_at_every_start_ends_as_failed_and_its_reason_is_named(
    fleet: Fleet, second: Answer
) -> None:
    host = fleet.host("deb13")
    host.ssh(f"printf '[Service]\\nEnvironment=OLLAMA_ORIGINS=ftp://nowhere\\n' > {FAULT_DROPIN}")
    host.ssh("systemctl daemon-reload; systemctl restart ollama.service", check=False)
    try:
        host.ssh("timeout 120 sh -c 'until systemctl is-failed ollama.service; do sleep 1; done'", timeout=150)
        answer = reaper(fleet.inventory, "probe", "-l", host.name)
        assert (answer.rc, answer.states()) == (3, {host.name: "connection-refused"}), answer.stdout
        assert answer.hosts[host.name]["cause"] == "bad-origins-panic"
    finally:
        host.ssh(f"rm -f {FAULT_DROPIN}; systemctl daemon-reload; systemctl reset-failed ollama.service")
    again = reaper(fleet.inventory, "up", "--yes", "-l", host.name)
    assert again.states() == {host.name: "healthy"}, again.stdout


@pytest.mark.vm
def test_swap_can_be_zram(fleet: Fleet, second: Answer) -> None:
    """On the machine with its own kernel alone: in containers the generator does nothing."""
    limits = ("-l", MACHINE, "-e", "swap_kind=zram")
    answer = reaper(fleet.inventory, "up", "--yes", *limits)
    assert answer.rc == 0, answer.stdout
    assert {"swap/package", "swap/zram", "swap/zram-start"} <= set(answer.changed()[MACHINE]), answer.stdout
    assert "/dev/zram0" in fleet.host(MACHINE).ssh("swapon --show=NAME --noheadings").stdout


@contextmanager
def pulling(fleet: Fleet, host: Host) -> Iterator[subprocess.Popen[str]]:
    """A pull by Ansible that does not come to its end, as the registry sends a quarter of it."""
    model = f"{fleet.services.registry.name}/stall/small:latest"
    limits = ("-e", json.dumps({"ollama_models": [model]}), "--lock", str(fleet.directory / "no.lock"))
    command = argv(fleet.inventory, "models pull", "-l", host.name, "--via", "host", "--retries", "0", *limits)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ENVIRONMENT
    ) as process:
        host.ssh(f"timeout 240 sh -c 'until ls {STORE}/blobs/*-partial; do sleep 1; done'", timeout=300)
        yield process


@pytest.mark.vm
def test_everything_is_up_again_after_a_reboot_that_cuts_a_pull(fleet: Fleet, second: Answer) -> None:
    host = fleet.host(MACHINE)
    before = host.ssh("cat /proc/sys/kernel/random/boot_id").stdout
    listed = host.ssh(f"ls {STORE}/manifests/*/*/*/*").stdout
    with pulling(fleet, host) as pull:
        host.ssh("systemctl reboot", check=False)
        said = json.loads(pull.communicate(timeout=600)[0])
    time.sleep(5)
    assert pull.returncode == 3
    assert host.name in said["problems"] or said["models"][0]["error"], said
    wait_booted(host, 600)
    assert host.ssh(f"ls {STORE}/manifests/*/*/*/*; rm -f {STORE}/blobs/*-partial*").stdout == listed
    assert host.ssh("cat /proc/sys/kernel/random/boot_id").stdout != before
    assert {"/dev/zram0", "/swapfile"} <= set(host.ssh("swapon --show=NAME --noheadings").stdout.split())
    limits = ("-l", MACHINE, "-e", "swap_kind=zram")
    assert reaper(fleet.inventory, "verify", *limits).rc == 0
    answer = reaper(fleet.inventory, "up", "--yes", *limits)
    assert (answer.rc, answer.changed()) == (0, {})


def test_swap_on_an_overlay_is_refused_with_the_reason(fleet: Fleet, second: Answer) -> None:
    answer = reaper(fleet.inventory, "plan", "-l", "deb12", "-e", "swap_kind=file", "-e", "swap_path=/swapfile")
    assert answer.rc == 3
    assert "overlay" in answer.stdout
    assert fleet.host("deb12").ssh("test -e /swapfile", check=False).returncode == 1


def descendants(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        children = Path(f"/proc/{parent}/task/{parent}/children")
        found += [int(child) for child in children.read_text().split()] if children.exists() else []
    return found


def test_a_controller_killed_in_the_middle_is_completed_by_the_next(fleet: Fleet, second: Answer) -> None:
    host = fleet.reset("deb12")
    command = argv(fleet.inventory, "up", "--yes", "-l", host.name)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        reached = next((line for line in run.stderr if '"ollama/unit"' in line), "")
        for pid in reversed(descendants(run.pid)):
            os.kill(pid, signal.SIGKILL)
    assert reached, "the run ended before it was killed"
    answer = reaper(fleet.inventory, "up", "--yes", "-l", host.name)
    assert (answer.rc, answer.states()) == (0, {host.name: "healthy"}), answer.stdout
    assert "ollama/start" in answer.changed()[host.name]
    assert "ollama/user" not in answer.changed()[host.name]
    assert reaper(fleet.inventory, "verify", "-l", host.name).rc == 0
