"""Real faults on real hosts: the doctor names the right id first, and what it may heal it heals.

Prints the confusion matrix: what was put in, what was named first.
"""

import json
import shlex
import time
from collections import Counter

import pytest
from faults.faults import API, FAULTS, MACHINE, Fault
from fleet.command import Answer, reaper
from fleet.hosts import Host
from fleet.world import SUITES, Fleet

from reaper_ops.core.provision import in_effect

DROPIN = "/etc/systemd/system/ollama.service.d/zzz-fault.conf"
STORE = "/var/lib/ollama/models"
SHARE = 0.95
EMULATED = "cpu-quota-or-no-avx"
ANSWERS = f"timeout 120 curl -sS --retry 100 --retry-all-errors --retry-delay 1 {API}/version"
PARAMS = [pytest.param(f, id=f.name, marks=[pytest.mark.vm] if f.host == MACHINE else []) for f in FAULTS]


def first(answer: Answer, *, beside: str = "") -> str:
    """The id of the first cause; `-` for none. beside: what is true of this host at all times."""
    (host,) = answer.document["hosts"]
    ids = [str(cause["finding"]["id"]) for cause in host["causes"]]
    return next((id_ for id_ in ids if id_ != beside), "-")


def wanted_model(host: Host) -> str:
    answer = reaper(host.inventory, "hosts", "-l", host.name)
    return str(answer.document["hosts"][0]["settings"]["ollama_models"]["value"][0])


@pytest.fixture(scope="session")
def named() -> list[tuple[str, str]]:
    """(put in, named first) of every fault of this session; printed at the end, and held to the bar."""
    found: list[tuple[str, str]] = []
    return found


@pytest.mark.parametrize("name", SUITES)
def test_a_healthy_host_has_no_findings(fleet: Fleet, second: Answer, name: str) -> None:
    answer = reaper(fleet.inventory, "doctor", "-l", name)
    assert (answer.rc, first(answer)) == (0, "-"), answer.stdout


@pytest.mark.vm
def test_of_a_healthy_machine_only_its_emulated_processor_is_named(fleet: Fleet, second: Answer) -> None:
    answer = reaper(fleet.inventory, "doctor", "-l", MACHINE)
    assert (answer.rc, first(answer)) == (4, EMULATED), answer.stdout
    assert len(answer.document["hosts"][0]["causes"]) == 1


ODD = {
    "another time zone": (
        "ln -sf /usr/share/zoneinfo/Asia/Kolkata /etc/localtime",
        "ln -sf /usr/share/zoneinfo/Etc/UTC /etc/localtime",
    ),
    "a tool that hangs": (
        "printf '#!/bin/sh\\nexec sleep 600\\n' > /usr/local/sbin/nvidia-smi; chmod 755 /usr/local/sbin/nvidia-smi",
        "rm -f /usr/local/sbin/nvidia-smi; pkill -f 'sleep 600'",
    ),
    "junk in the journal": ("head -c 20000 /dev/urandom | systemd-cat -t ollama", "true"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_host_is_examined_like_any_other(fleet: Fleet, second: Answer, name: str) -> None:
    odd, even = ODD[name]
    host = fleet.host("deb12")
    host.ssh(odd)
    try:
        answer = reaper(fleet.inventory, "doctor", "-l", host.name)
        assert (answer.rc, first(answer)) == (0, "-"), answer.stdout
    finally:
        host.ssh(even, check=False)


def test_a_host_without_python_is_named_and_the_others_are_examined(fleet: Fleet, second: Answer) -> None:
    host = fleet.host("deb12")
    host.ssh("mkdir /root/away; mv /usr/bin/python3* /root/away/")
    try:
        answer = reaper(fleet.inventory, "doctor", "-l", "deb12,deb13")
        rows = answer.hosts
        assert (rows["deb12"]["state"], rows["deb13"]["state"]) == (None, "healthy"), answer.stdout
        assert "Python" in rows["deb12"]["problem"]
        assert answer.rc == 5
    finally:
        host.ssh("mv /root/away/* /usr/bin/; rmdir /root/away")


@pytest.mark.parametrize("fault", PARAMS)
def test_fault(fleet: Fleet, second: Answer, fault: Fault, named: list[tuple[str, str]]) -> None:
    host = fleet.host(fault.host)
    model = wanted_model(host)
    places = {"dropin": DROPIN, "store": STORE, "model": model, "second": model.replace("tiny", "small")}
    given = [word.format(address=host.address) for word in fault.given]
    beside = EMULATED if fault.host == MACHINE else ""
    host.ssh(fault.break_.format(**places), timeout=400, check=False)
    try:
        time.sleep(fault.settle)
        answer = reaper(fleet.inventory, "doctor", "-l", host.name, *given)
        named.append((fault.id, first(answer, beside=beside)))
        assert named[-1] == (fault.id, fault.id), shorter(answer)
        (row,) = answer.document["hosts"]
        assert set(fault.also) <= {found["id"] for found in row["causes"][0]["also"]}, shorter(answer)
        if fault.heals:
            healed = reaper(fleet.inventory, "doctor", "--fix", "--yes", "--accept", fault.id, "-l", host.name)
            assert (healed.rc, first(healed)) == (0, "-"), shorter(healed)
    finally:
        host.ssh(f"{fault.mend.format(**places)}; {ANSWERS}", timeout=400, check=False)
        well_again(fleet, host)


def well_again(fleet: Fleet, host: Host) -> None:
    """The next fault begins on a healthy host; what repairing left is converged."""
    answer = reaper(fleet.inventory, "up", "--yes", "-l", host.name)
    assert answer.states() == {host.name: "healthy"}, answer.stdout


def shorter(answer: Answer) -> str:
    """What was found, without the evidence's length."""
    (host,) = answer.document["hosts"]
    causes = [(c["finding"]["id"], c["finding"]["summary"], [f["id"] for f in c["also"]]) for c in host["causes"]]
    seen = {"state": host["state"], "summary": host["summary"], "causes": causes, "evidence": host["evidence"]}
    return json.dumps({**seen, "fixes": answer.document.get("fixes", []), "stderr": answer.stderr[-1000:]})


def test_the_right_cause_is_named_first(named: list[tuple[str, str]], capfd: pytest.CaptureFixture[str]) -> None:
    """The confusion matrix; a fault that was not run in this session counts for nothing."""
    if not named:
        pytest.skip("no fault was put in before this test")
    right = sum(put == said for put, said in named)
    with capfd.disabled():
        print(f"\n\nnamed first: {right} of {len(named)} injected faults, {len({put for put, _ in named})} ids")
        for (put, said), number in sorted(Counter(named).items()):
            print(f"  {put:<32} {'=' if put == said else '->'} {said:<32} {number}")
    assert right >= SHARE * len(named)


def test_the_faults_are_many_and_their_lines_whole() -> None:
    assert len({fault.id for fault in FAULTS}) >= 40
    assert DROPIN > in_effect.DROPIN, "systemd reads drop-ins by name, and a fault must win over ours"
    for fault in FAULTS:
        places = {"dropin": "D", "store": "S", "model": "M", "second": "N", "address": "A"}
        assert shlex.split(fault.break_.format(**places))
        assert shlex.split(fault.mend.format(**places))
