"""Parsers of what only a diagnosis reads: real text in, records out; any text at all is taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops.core import facts
from reaper_ops.core.doctor.evidence import PARTS
from reaper_ops.core.facts import containers, gpu_load, holdings, network, running, surroundings, tracing
from reaper_ops.core.facts.answers import Answers
from reaper_ops.core.facts.model_store import Denied, PathStep, Pulled, StoredBlob
from reaper_ops.core.facts.traces import (
    Binary,
    Drift,
    GpuUser,
    Listener,
    Mount,
    Pressure,
    Published,
    Resolved,
    Traces,
)
from reaper_ops.core.inventory.settings import Settings

RUNTIMES = ("systemd", "docker", "process")
SS = """\
State   Recv-Q  Send-Q   Local Address:Port    Peer Address:Port  Process
LISTEN  0       4096         127.0.0.1:11434        0.0.0.0:*      users:(("ollama",pid=812,fd=3))
LISTEN  0       128               [::]:22              [::]:*      users:(("sshd",pid=500,fd=4),("systemd",pid=1,fd=99))
LISTEN  0       4096     127.0.0.53%lo:53           0.0.0.0:*
LISTEN  0       4096                 *:8080                *:*
ESTAB   0       0            10.0.0.2:22         10.0.0.9:51234
"""
PS = """\
    PID    PPID USER     ELAPSED S WCHAN             RSS CGROUP                       COMMAND
    812       1 ollama      7200 S futex_wait     102400 0::/system.slice/ollama.service /usr/local/bin/ollama serve
    990     812 ollama   1-02:03:04 D folio_wait 20971520 - /usr/lib/ollama/llama-server --model a b
"""
AUX = """\
USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND
ollama       812  0.0  0.3 1234567 102400 ?      Ssl  Nov22   0:01 /usr/local/bin/ollama serve
"""
STORE = """\
step d 0755 0 0 4096 1700000000 /
step d 0755 994 994 4096 1700000000 /var/lib/ollama/models
d 0750 994 994 4096 1700000000 /var/lib/ollama/models
d 0755 994 994 4096 1700000000 /var/lib/ollama/models/blobs
f 0644 994 994 485 1700000000 /var/lib/ollama/models/blobs/sha256-aa
f 0644 994 994 10 1700000100 /var/lib/ollama/models/blobs/sha256-bb-partial
f 0644 994 994 300 1700000000 /var/lib/ollama/models/manifests/registry.ollama.ai/library/llama3.2/1b
layer sha256-aa 485 /var/lib/ollama/models/manifests/registry.ollama.ai/library/llama3.2/1b
f 0644 994 994 0 1700000000 /var/lib/ollama/models/manifests/registry.ollama.ai/library/bad/1
error no_manifest /var/lib/ollama/models/manifests/registry.ollama.ai/library/bad/1
error Permission_denied /root/.ollama/models/blobs
absent /srv/none
"""
INSPECT = [
    {
        "Id": "c0ffee",
        "Name": "/ollama",
        "Path": "/bin/ollama",
        "Args": ["serve"],
        "RestartCount": 2,
        "State": {
            "Status": "running",
            "OOMKilled": True,
            "ExitCode": 137,
            "Health": {"Status": "unhealthy", "Log": [{"Output": "curl: not found"}]},
        },
        "Config": {
            "Image": "ollama/ollama:0.35.1",
            "Env": ["OLLAMA_HOST=0.0.0.0", "HOSTNAME=x"],
            "Healthcheck": {"Test": ["CMD", "curl"]},
        },
        "HostConfig": {
            "Memory": 1 << 30,
            "NanoCpus": 1500000000,
            "DeviceRequests": [{"Driver": "nvidia", "Capabilities": [["gpu"]]}],
            "GroupAdd": ["44"],
            "NetworkMode": "bridge",
        },
        "NetworkSettings": {"Ports": {"11434/tcp": [{"HostIp": "0.0.0.0", "HostPort": "11434"}], "80/tcp": None}},
        "Mounts": [{"Type": "volume", "Name": "ollama", "Source": "/var/x", "Destination": "/root/.ollama"}],
    },
    {
        "Id": "beef",
        "Name": "/webui",
        "Config": {
            "Image": "ghcr.io/open-webui/open-webui:main",
            "Env": ["OLLAMA_BASE_URL=http://localhost:11434", "X=1"],
        },
        "State": {"Status": "exited"},
        "HostConfig": {
            "PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "3000"}]},
            "ExtraHosts": ["host.docker.internal:host-gateway"],
        },
    },
]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_question_has_an_id_of_its_own(runtime: str) -> None:
    ids = [ask["id"] for ask in facts.asks(Settings(ollama_runtime=runtime), traces=True)]
    assert len(ids) == len(set(ids))


def test_plain_facts_ask_none_of_it() -> None:
    plain = facts.asks(Settings())
    assert facts.asks(Settings(), traces=True)[: len(plain)] == plain
    assert facts.parse("a", Settings(), {}).traces is None


def test_every_part_of_the_evidence_is_asked_for() -> None:
    for name, part in PARTS.items():
        for runtime in part.runtimes:
            asked = {ask["id"] for ask in facts.asks(Settings(ollama_runtime=runtime), traces=True)}
            assert asked & set(part.asks), (name, runtime)


def test_nothing_read_is_nothing_known() -> None:
    assert facts.parse("a", Settings(), {"controller": {}}).traces == Traces()


def test_subjects_fill_fields_that_exist_and_each_only_one() -> None:
    filled = [name for subject in tracing.TRACES for name in subject.parse(Answers({}))]
    known = {field.name for field in fields(Traces)}
    assert set(filled) <= known
    assert len(filled) == len(set(filled))
    assert known - set(filled) == {"timings"}, "measured by its own flow"


def test_sockets() -> None:
    assert network.listeners(SS) == (
        Listener("127.0.0.1", 11434, 812, "ollama"),
        Listener("::", 22, 500, "sshd"),
        Listener("127.0.0.53", 53),
        Listener("*", 8080),
    )
    assert network.listeners(SS.split("\n", 1)[1]) == network.listeners(SS)
    assert network.listeners("ss: command not found") is None


def test_processes_by_whatever_columns() -> None:
    found = running.processes(PS)
    assert found is not None
    assert (found[0].pid, found[0].user, found[0].age, found[0].cgroup) == (
        812,
        "ollama",
        7200,
        "/system.slice/ollama.service",
    )
    assert (found[1].age, found[1].state, found[1].rss, found[1].cgroup) == (93784, "D", 20 << 30, "")
    assert found[1].command.endswith("llama-server --model a b")
    (one,) = running.processes(AUX) or ()
    assert (one.user, one.rss, one.state, one.command) == ("ollama", 100 << 20, "S", "/usr/local/bin/ollama serve")
    assert running.processes("bash: ps: command not found") is None


def test_a_ps_line_of_cgroup_v1() -> None:
    output = "PID CGROUP COMMAND\n7 4:memory:/a,1:name=systemd:/b x\n"
    assert [row.cgroup for row in running.processes(output) or ()] == ["/a"]


def test_limits() -> None:
    text = (
        "Limit                     Soft Limit           Hard Limit           Units\n"
        "Max open files            1024                 524288               files\n"
        "Max address space         unlimited            unlimited            bytes\n"
    )
    assert running.limits(text) == {"Max open files": "1024", "Max address space": "unlimited"}
    assert running.limits("") is None


def test_cgroup_v2_and_the_slice_above() -> None:
    base = "/sys/fs/cgroup/system.slice"
    own = f"{base}/ollama.service"
    found = running.cgroup(
        f"{own}/memory.max:max\n{own}/memory.current:1048576\n{own}/memory.events:oom_kill 2\n"
        f"{own}/memory.events:high 7\n{base}/memory.max:8589934592\n{own}/cpu.max:150000 100000\n"
    )
    assert found is not None
    assert (found.path, found.limit, found.current) == ("/system.slice/ollama.service", 8 << 30, 1 << 20)
    assert (found.oom_kills, found.high_events, found.cpus) == (2, 7, 1.5)


def test_cgroup_v1() -> None:
    memory, cpu = "/sys/fs/cgroup/memory/docker/c0", "/sys/fs/cgroup/cpu/docker/c0"
    found = running.cgroup(
        f"{cpu}/cpu.cfs_quota_us:-1\n{cpu}/cpu.cfs_period_us:100000\n{memory}/memory.limit_in_bytes:1073741824\n"
        f"{memory}/memory.oom_control:oom_kill 1\n/sys/fs/cgroup/memory/memory.limit_in_bytes:9223372036854771712\n"
    )
    assert found is not None
    assert (found.path, found.limit, found.oom_kills, found.cpus) == ("/docker/c0", 1 << 30, 1, None)
    assert running.cgroup("grep: nothing") is None


def test_pressure_load_and_processor() -> None:
    text = "some avg10=1.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=0\n"
    assert running.pressure(text) == Pressure(1.5, 0.25)
    flags, model = running.processor(
        "model name\t: AMD EPYC\nflags\t\t: fpu avx avx2\nmodel name\t: other\nflags\t: x\n"
    )
    assert (flags, model) == (frozenset({"fpu", "avx", "avx2"}), "AMD EPYC")


def test_swap_rate_between_two_reads() -> None:
    def read(uptime: str, pages: int) -> dict[str, Any]:
        rows = {"/proc/uptime": f"{uptime} 9.00\n", "/proc/vmstat": f"pswpin {pages}\npswpout 10\n"}
        return {"matches": [{"path": path, "content": content} for path, content in rows.items()]}

    both = Answers({"vmstat": read("100.00", 0), "vmstat-again": read("101.25", 2500)})
    assert running.swap_rate(both) == 2000.0
    assert running.swap_rate(Answers({"vmstat": read("100.00", 0)})) is None


def test_stores() -> None:
    found = holdings.stores(STORE, 1700000200.0)
    assert found is not None
    own, other, absent = found
    assert (own.path, own.uid, own.mode) == ("/var/lib/ollama/models", 994, "0750")
    assert own.blobs == (StoredBlob("sha256-aa", 485, 200), StoredBlob("sha256-bb-partial", 10, 100))
    assert [(m.name, dict(m.layers), m.error) for m in own.manifests] == [
        ("llama3.2:1b", {"sha256-aa": 485}, ""),
        ("bad:1", {}, "is no manifest"),
    ]
    assert (other.path, other.blobs) == ("/root/.ollama/models", None)
    assert (absent.path, absent.mode, absent.blobs) == ("/srv/none", "", ())
    assert holdings.path_steps(STORE) == (
        PathStep("/", "0755", 0, 0),
        PathStep("/var/lib/ollama/models", "0755", 994, 994),
    )


def test_a_store_as_find_prints_it() -> None:
    listing = "d 755 0 0 4096 1700000000.25 /m\nf 644 0 0 5 1700000000.1234567 /m/blobs/sha256-aa\n"
    (store,) = holdings.stores(listing, None) or ()
    assert (store.path, store.mode, store.blobs) == ("/m", "0755", (StoredBlob("sha256-aa", 5, None),))


def test_what_lies_around() -> None:
    assert holdings.denied("enter EACCES /home/a\nnonsense\n") == (Denied("/home/a", "enter", "EACCES"),)
    assert holdings.denied("") == ()
    assert holdings.drift("changed /etc/a b\nmissing /etc/c\n") == (
        Drift("/etc/a b", "changed"),
        Drift("/etc/c", "missing"),
    )
    assert holdings.pulls('{"m:1": {"error": "x", "time": 90}}', 100.0) == (Pulled("m:1", "x", 10),)
    assert holdings.binaries(
        "/usr/bin/ollama\tollama version is 0.30.1 Warning: client version is 0.35.1\n/opt/o\tillegal instruction\n"
    ) == (Binary("/usr/bin/ollama", "0.35.1"), Binary("/opt/o", None))


def test_libraries_of_the_first_place() -> None:
    paths = ["/opt/ollama/current/bin/ollama", "/opt/ollama/current/lib/ollama/a.so", "/usr/local/lib/ollama/b.so"]
    answers = {"libraries": {"matches": [{"path": path} for path in paths]}}
    assert holdings.libraries(Answers(answers)) == ("a.so",)
    assert holdings.libraries(Answers({"libraries": {"matches": [{"path": paths[0]}]}})) == ()
    assert holdings.libraries(Answers({"libraries": {"matches": []}})) is None


def test_containers() -> None:
    answers = Answers({"containers": {"rc": 0, "stdout": json.dumps(INSPECT)}})
    server, client = containers.containers(answers) or ()
    assert (server.name, server.serves, server.oom_killed, server.restarts) == ("ollama", True, True, 2)
    assert (server.memory_limit, server.cpus, server.gpu, server.groups) == (1 << 30, 1.5, ("nvidia",), ("44",))
    assert server.ports == (Published(11434, "", 11434),)
    assert (server.health, server.health_test, server.health_log) == (
        "unhealthy",
        ("CMD", "curl"),
        "curl: not found",
    )
    assert server.environ == {"OLLAMA_HOST": "0.0.0.0"}
    assert (client.serves, client.ports) == (False, (Published(8080, "127.0.0.1", 3000),))
    assert client.environ == {"OLLAMA_BASE_URL": "http://localhost:11434"}


def test_no_engine_is_no_container_and_a_silent_one_is_unknown() -> None:
    assert containers.containers(Answers({"containers": {"missing": True}})) == ()
    assert containers.containers(Answers({"containers": {"rc": 1, "stdout": "", "stderr": "no daemon"}})) is None


@pytest.mark.parametrize(
    ("info", "path", "kind"),
    [
        ({"ServerVersion": "28.0", "SecurityOptions": ["name=seccomp"]}, "/usr/bin/docker\n", "engine"),
        ({"ServerVersion": "28.0", "SecurityOptions": ["name=rootless"]}, "/usr/bin/docker\n", "rootless"),
        ({"ServerVersion": "28.0", "OperatingSystem": "Docker Desktop"}, "", "desktop"),
        ({"ServerVersion": "28.0", "DockerRootDir": "/var/snap/docker/common"}, "", "snap"),
        ({}, "/snap/docker/2915/bin/docker\n", "snap"),
        ({}, "", ""),
    ],
)
def test_kind_of_engine(info: dict[str, Any], path: str, kind: str) -> None:
    answers = {"docker-info": {"rc": 0, "stdout": json.dumps(info)}, "docker-path": {"rc": 0, "stdout": path}}
    assert containers.kind(Answers(answers)) == kind


def test_gpus() -> None:
    row = (
        "GPU-1, 1024, 81920, 65, 98, 350.12, 700.00, P0, 9.0, Disabled\nGPU-2, [N/A], 1, [N/A], 1, [N/A], 1, P8, x, y\n"
    )
    mask = "GPU-1, 0x0000000000000045\n"
    first, second = gpu_load.loads(row, gpu_load.throttled(mask)) or ()
    assert (first.free, first.total, first.temperature, first.power) == (1 << 30, 80 << 30, 65, 350.12)
    assert (first.throttle, first.state, first.mig) == (("sw_power_cap", "hw_thermal_slowdown"), "P0", "Disabled")
    assert (second.free, second.power, second.compute, second.mig) == (None, None, None, "")
    assert gpu_load.users("812, /usr/bin/a, b, 1024\n") == (GpuUser(812, "/usr/bin/a, b", 1 << 30),)


def test_secure_boot_by_tool_or_variable() -> None:
    assert gpu_load.secure_boot(Answers({"secure-boot": {"rc": 0, "stdout": "SecureBoot enabled\n"}})) is True
    variable = {"matches": [{"path": "/x", "content": "\x06\0\0\0\x00"}]}
    assert gpu_load.secure_boot(Answers({"secure-boot-variable": variable})) is False
    assert gpu_load.secure_boot(Answers({})) is None


def test_mounts_of_the_kernel_and_of_the_tool() -> None:
    wanted = (Mount("/dev/vda1", "/a b", "ext4", ("rw", "relatime")),)
    assert surroundings.mounts("/dev/vda1 /a\\040b ext4 rw,relatime 0 0\n") == wanted
    assert surroundings.mounts("/dev/vda1 on /a b type ext4 (rw,relatime)\n") == wanted


def test_proxies_of_profiles() -> None:
    content = 'HTTPS_PROXY="http://p:3128"\nexport no_proxy=localhost; x\n# http_proxy=http://no\n'
    answers = Answers({"proxies": {"matches": [{"path": "/etc/environment", "content": content}]}})
    assert surroundings.proxies(answers) == {"HTTPS_PROXY": "http://p:3128", "no_proxy": "localhost"}


@pytest.mark.parametrize(("now", "skew"), [(100.5, 0.0), (97.0, -3.0), (3700.0, 3598.0), (102.0, 0.0)])
def test_the_clock_is_only_off_by_what_the_reading_cannot_explain(now: float, skew: float) -> None:
    answers = Answers({"identity": {"time": now}, "controller": {"before": 100.0, "after": 102.0}})
    assert surroundings.skew(answers) == pytest.approx(skew)


def test_names_and_addresses() -> None:
    assert network.resolved("localhost 127.0.0.1 ::1\nnope.invalid: Name or service not known\n") == (
        Resolved("localhost", ("127.0.0.1", "::1")),
        Resolved("nope.invalid", (), "Name or service not known"),
    )
    trie = "Local:\n  |-- 192.168.1.20\n     /32 host LOCAL\n  |-- 192.168.1.255\n     /32 link BROADCAST\n"
    table = "fe80000000000000004206fffe843d1a 02 40 20 80 eth0\n"
    rows = [{"path": "/proc/net/fib_trie", "content": trie}, {"path": "/proc/net/if_inet6", "content": table}]
    found = network.parse(Answers({"addresses": {"matches": rows}}))["addresses"]
    assert found == ("192.168.1.20", "fe80::42:6ff:fe84:3d1a")


@pytest.mark.parametrize(
    ("model", "name", "url"),
    [
        ("llama3.2", "llama3.2:latest", "https://registry.ollama.ai/v2/library/llama3.2/manifests/latest"),
        ("me/x:7b", "me/x:7b", "https://registry.ollama.ai/v2/me/x/manifests/7b"),
        ("r.lan:5000/me/x:7b", "r.lan:5000/me/x:7b", "http://r.lan:5000/v2/me/x/manifests/7b"),
    ],
)
def test_where_a_promised_model_would_come_from(model: str, name: str, url: str) -> None:
    wanted = Settings(ollama_models=(model,), ollama_insecure_registries=("r.lan:5000",))
    (ask,) = [ask for ask in network.asks(wanted) if ask["id"] == "asked registry"]
    assert [(row["name"], row["url"]) for row in ask["models"]] == [(name, url)]


def test_firewalls_with_and_without_headings() -> None:
    assert network.firewall("==> ufw <==\nStatus: active\n==> nft <==\ntable inet f {\n}\n") == {
        "ufw": "Status: active",
        "nft": "table inet f {\n}",
    }
    assert network.firewall("Status: active\n22 ALLOW\n") == {"ufw": "Status: active\n22 ALLOW"}
    assert network.firewall("") == {}
    assert network.firewall("what is this") is None


def test_what_only_root_may_see_is_not_read() -> None:
    empty = {"rc": 0, "stdout": "", "stderr": ""}
    refused = {"rc": 1, "stdout": "", "stderr": "dmesg: read kernel buffer failed: Operation not permitted"}
    firewalls = {**empty, "unread": {"nft": "Operation not permitted"}}
    answers = {"log": empty, "kernel-journal": empty, "kernel-ring": refused, "firewall": firewalls, "controller": {}}
    user = facts.parse("a", Settings(), {**answers, "identity": {"uid": 1000}})
    assert (user.journal, user.kernel) == (None, None)
    assert user.traces is not None
    assert user.traces.firewall is None
    assert set(user.unread) == {"log", "kernel-ring", "firewall"}
    assert facts.parse("a", Settings(), {**answers, "identity": {"uid": 0}}).journal == ""


TEXTS: tuple[Callable[[str], object], ...] = (
    network.listeners,
    network.resolved,
    network.firewall,
    running.processes,
    running.limits,
    running.cgroup,
    running.pressure,
    running.processor,
    holdings.path_steps,
    holdings.denied,
    holdings.drift,
    holdings.binaries,
    gpu_load.users,
    gpu_load.throttled,
    surroundings.mounts,
)
LINES = st.lists(st.sampled_from([*SS.splitlines(), *PS.splitlines(), *STORE.splitlines(), "", "\x00", "é ²"])).map(
    "\n".join
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=200) | LINES)
def test_any_text_is_taken(text: str) -> None:
    first = [parse(text) for parse in TEXTS] + [holdings.stores(text, 1.0), gpu_load.loads(text, {})]
    again = [parse(text) for parse in TEXTS] + [holdings.stores(text, 1.0), gpu_load.loads(text, {})]
    assert first == again


@pytest.mark.parametrize("odd", [[], {}, 1], ids=str)
def test_a_tool_of_an_odd_type_is_none(odd: object) -> None:
    found = facts.parse("a", Settings(), {"controller": {}, "containers": {"tool": odd}}).traces
    assert found is not None
    assert found.docker_kind == ""


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_answers_are_taken(data: st.DataObject) -> None:
    ids = sorted(
        {ask["id"] for runtime in RUNTIMES for ask in facts.asks(Settings(ollama_runtime=runtime), traces=True)}
    )
    keys = st.sampled_from(
        ["rc", "stdout", "stderr", "content", "matches", "error", "exchanges", "time", "tool", "home"]
    )
    answer = PLAIN | st.dictionaries(keys, PLAIN, max_size=4)
    answers = data.draw(st.dictionaries(st.sampled_from([*ids, "controller"]), answer, max_size=8))
    assert facts.parse("a", Settings(), {"controller": {}, **answers}).traces is not None
