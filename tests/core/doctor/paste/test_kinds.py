# ruff: noqa: E501 - lines as tools print them
"""Each kind of output, in the form in which its tool prints it, comes to the facts that the host itself would give."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from reaper_ops.core import facts
from reaper_ops.core.doctor import bundle
from reaper_ops.core.doctor.paste import clients, kinds
from reaper_ops.core.facts.model import Facts

TABLE = """\
Mon Mar  2 10:00:00 2026
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 570.86.15              Driver Version: 570.86.15      CUDA Version: 12.8     |
|-----------------------------------------+------------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |
|=========================================+========================+======================|
|   0  NVIDIA GeForce RTX 3060        Off |   00000000:01:00.0 Off |                  N/A |
|  0%   44C    P8             11W /  170W |    2301MiB /  12288MiB |      0%      Default |
+-----------------------------------------+------------------------+----------------------+
| Processes:                                                                              |
|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |
|=========================================================================================|
|    0   N/A  N/A            2210      C   /usr/bin/python3                       2290MiB |
+-----------------------------------------------------------------------------------------+
"""
QUERY = """\
==============NVSMI LOG==============

Timestamp                                 : Mon Mar  2 10:00:00 2026
Driver Version                            : 550.120
CUDA Version                              : 12.4

Attached GPUs                             : 1
GPU 00000000:01:00.0
    Product Name                          : NVIDIA RTX A2000
    GPU UUID                              : GPU-0f1e2d3c-0000-1111-2222-333344445555
    FB Memory Usage
        Total                             : 6138 MiB
        Used                              : 12 MiB
"""
ROCM = """\
ROCk module version 6.8.5 is loaded
=====================
HSA System Attributes
=====================
Agent 1
*******
  Name:                    AMD Ryzen 7
  Device Type:             CPU
*******
Agent 2
*******
  Name:                    gfx1100
  Device Type:             GPU
  BDFID:                   768
  Pool Info:
    Pool 1
      Segment:                 GLOBAL; FLAGS: COARSE GRAINED
      Size:                    20955136(0x13fc000) KB
*** Done ***
"""
COMPOSE = """\
services:
  ollama:
    image: ollama/ollama:latest
    container_name: llm
    ports:
      - "127.0.0.1:11434:11434"
    volumes:
      - models:/root/.ollama
    environment:
      - OLLAMA_HOST=0.0.0.0
    deploy:
      resources:
        reservations:
          devices:
            - driver: nvidia
              count: all
              capabilities: [gpu]
  web:
    image: ghcr.io/open-webui/open-webui:main
    environment:
      OLLAMA_BASE_URL: http://localhost:11434
volumes:
  models:
"""
POD = """\
Name:             ollama-0
Namespace:        llm
Containers:
  ollama:
    Image:          ollama/ollama:0.12.3
    State:          Waiting
      Reason:       CrashLoopBackOff
    Last State:     Terminated
      Reason:       OOMKilled
      Exit Code:    137
    Restart Count:  6
    Limits:
      memory:  4Gi
Events:
  Type     Reason   Age                From     Message
  ----     ------   ----               ----     -------
  Warning  BackOff  2m (x9 over 6m)    kubelet  Back-off restarting failed container ollama
"""


def read(text: str) -> Facts:
    kept = bundle.read("h", {"paste": text}, by_hand=True)
    return facts.parse("h", kept.settings, kept.answers or {})


def exchanges(text: str) -> list[tuple[str, int | None, str]]:
    kept = bundle.read("h", {"paste": text}, by_hand=True)
    inside = facts.parse("h", kept.settings, kept.answers or {}).exchanges
    return [(one.path, one.status, one.error) for one in (*kept.exchanges, *inside)]


CASES: dict[str, tuple[str, Callable[[Facts], Any], Any]] = {
    "nvidia-smi": (
        TABLE,
        lambda f: [(g.name, g.memory_total >> 20, (g.memory_used or 0) >> 20, g.driver) for g in f.gpu.nvidia],
        [("NVIDIA GeForce RTX 3060", 12288, 2301, "570.86.15")],
    ),
    "nvidia-smi users": (TABLE, lambda f: [(u.pid, u.name) for u in f.traces.gpu_users], [(2210, "/usr/bin/python3")]),
    "nvidia-smi -q": (
        QUERY,
        lambda f: [(g.name, g.uuid[:12], g.memory_total >> 20, g.driver) for g in f.gpu.nvidia],
        [("NVIDIA RTX A2000", "GPU-0f1e2d3c", 6138, "550.120")],
    ),
    "nvidia-smi -L": (
        "GPU 0: Tesla T4 (UUID: GPU-0f1e2d3c-0000-1111-2222-333344445555)\n",
        lambda f: [g.name for g in f.gpu.nvidia],
        ["Tesla T4"],
    ),
    "nvidia-smi fails": (
        "$ nvidia-smi\nNVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
        lambda f: "couldn't communicate" in f.gpu.nvidia_error,
        True,
    ),
    "lspci": (
        "01:00.0 VGA compatible controller [0300]: NVIDIA Corporation GA106 [10de:2504] (rev a1)\n"
        "\tKernel driver in use: nouveau\n",
        lambda f: [(c.slot, c.vendor, c.device, c.driver) for c in f.gpu.pci],
        [("0000:01:00.0", "10de", "2504", "nouveau")],
    ),
    "lspci without numbers": (
        "03:00.0 VGA compatible controller: Advanced Micro Devices, Inc. [AMD/ATI] Navi 31 (rev c8)\n",
        lambda f: f.gpu.vendor(),
        "amd",
    ),
    "lsmod": (
        "$ lsmod | grep nvidia\nnvidia_uvm           1540096  0\nnvidia              56807424  2 nvidia_uvm\n",
        lambda f: f.gpu.modules,
        ("nvidia_uvm", "nvidia"),
    ),
    "rocminfo": (
        ROCM,
        lambda f: [(c.slot, c.gfx, c.memory_total >> 20) for c in f.gpu.amd],
        [("0000:03:00.0", "gfx1100", 20464)],
    ),
    "uname": (
        "$ uname -a\nLinux box 6.8.0-45-generic #45-Ubuntu SMP PREEMPT_DYNAMIC x86_64 GNU/Linux\n",
        lambda f: (f.system.kernel, f.system.arch),
        ("6.8.0-45-generic", "x86_64"),
    ),
    "netstat": (
        "tcp        0      0 127.0.0.1:11434         0.0.0.0:*               LISTEN      1234/ollama\n",
        lambda f: [(one.address, one.port, one.pid) for one in f.traces.listeners],
        [("127.0.0.1", 11434, 1234)],
    ),
    "lsof": (
        "COMMAND  PID   USER   FD   TYPE DEVICE SIZE/OFF NODE NAME\n"
        "ollama  1234 ollama    3u  IPv4  99999      0t0  TCP localhost:11434 (LISTEN)\n",
        lambda f: [(one.address, one.port, one.command) for one in f.traces.listeners],
        [("127.0.0.1", 11434, "ollama")],
    ),
    "ps without heading": (
        "$ ps aux | grep ollama\nollama  812 0.1 0.3 5000 900 ? Ssl 10:00 0:33 /usr/local/bin/ollama serve\n",
        lambda f: [(one.pid, one.user, one.command) for one in f.traces.processes],
        [(812, "ollama", "/usr/local/bin/ollama serve")],
    ),
    "ls": (
        "$ ls -la /usr/share/ollama\ntotal 12\ndrwxr-xr-x 3 root root 4096 Mar  2 10:00 .\n"
        "drwx------ 2 root root 4096 Mar  2 10:00 .ollama\n",
        lambda f: [(one.path, one.owner, one.mode) for one in f.traces.listed],
        [("/usr/share/ollama", "root", "drwxr-xr-x"), ("/usr/share/ollama/.ollama", "root", "drwx------")],
    ),
    "stat": (
        "  File: /data/models\n  Size: 4096  Blocks: 8\n"
        "Access: (0750/drwxr-x---)  Uid: ( 1000/   ana)   Gid: ( 1000/   ana)\n",
        lambda f: [(one.path, one.owner, one.mode) for one in f.traces.listed],
        [("/data/models", "ana", "drwxr-x---")],
    ),
    "df": (
        "$ df -h\nFilesystem      Size  Used Avail Use% Mounted on\n/dev/sda2        40G   40G     0 100% /\n",
        lambda f: [(d.mount, d.free, d.total >> 30) for d in f.disks.values()],
        [("/", 0, 40)],
    ),
    "id": (
        "$ id ollama\nuid=998(ollama) gid=998(ollama) groups=998(ollama),44(video),992(render)\n",
        lambda f: f.user_groups,
        ("ollama", "video", "render"),
    ),
    "swapon": (
        "NAME      TYPE SIZE USED PRIO\n/swapfile file   8G 512M   -2\n",
        lambda f: [(s.path, s.size >> 30, s.used >> 20) for s in f.swaps],
        [("/swapfile", 8, 512)],
    ),
    "environment": (
        "$ env | grep -i proxy\nHTTPS_PROXY=http://10.0.0.1:3128\n",
        lambda f: dict(f.process.environ),
        {"HTTPS_PROXY": "http://10.0.0.1:3128"},
    ),
    "ip addr": (
        "$ ip addr\n2: eth0: <BROADCAST,UP> mtu 1500\n    inet 10.0.0.7/24 brd 10.0.0.255 scope global eth0\n",
        lambda f: f.traces.addresses,
        ("10.0.0.7",),
    ),
    "nslookup": (
        "** server can't find registry.ollama.ai: SERVFAIL\n",
        lambda f: [(one.name, one.error) for one in f.traces.resolved],
        [("registry.ollama.ai", "SERVFAIL")],
    ),
    "ufw": ("$ sudo ufw status\nStatus: active\n", lambda f: list(f.traces.firewall), ["ufw"]),
    "compose file": (
        COMPOSE,
        lambda f: [(c.name, c.gpu, [(p.address, p.host_port) for p in c.ports]) for c in f.traces.containers],
        [("llm", ("nvidia",), [("127.0.0.1", 11434)]), ("web", (), [])],
    ),
    "compose variables": (
        COMPOSE,
        lambda f: [dict(c.environ) for c in f.traces.containers],
        [{"OLLAMA_HOST": "0.0.0.0"}, {"OLLAMA_BASE_URL": "http://localhost:11434"}],
    ),
    "docker ps": (
        "$ docker ps\nCONTAINER ID   IMAGE           COMMAND    CREATED      STATUS                  PORTS     NAMES\n"
        '0123456789ab   ollama/ollama   "/bin/o"   2 days ago   Up 2 days (unhealthy)   0.0.0.0:11434->11434/tcp   ollama\n',
        lambda f: [(c.name, c.state, c.health, c.ports[0].host_port) for c in f.traces.containers],
        [("ollama", "running", "unhealthy", 11434)],
    ),
    "inspect without Id": (
        '[{"Name": "/llm", "State": {"Status": "exited", "ExitCode": 137, "OOMKilled": true}}]\n',
        lambda f: [(c.name, c.state, c.oom_killed) for c in f.traces.containers],
        [("llm", "exited", True)],
    ),
    "a part of inspect": (
        "$ docker inspect -f '{{json .State}}' ollama\n{\"Status\":\"exited\",\"ExitCode\":1}\n",
        lambda f: [(c.name, c.exit_code) for c in f.traces.containers],
        [("ollama", 1)],
    ),
    "docker run": (
        "$ docker run -d --gpus=all -p 127.0.0.1:11434:11434 \\\n  -e OLLAMA_DEBUG=1 --name llm ollama/ollama\n",
        lambda f: [(c.name, c.gpu, c.ports[0].address, dict(c.environ)) for c in f.traces.containers],
        [("llm", ("nvidia",), "127.0.0.1", {"OLLAMA_DEBUG": "1"})],
    ),
    "docker run of a client": (
        "docker run -d -p 3000:8080 -e OLLAMA_BASE_URL=http://127.0.0.1:11434 --name web open-webui/open-webui:main\n",
        lambda f: [(c.name, c.serves, dict(c.environ)) for c in f.traces.containers],
        [("web", False, {"OLLAMA_BASE_URL": "http://127.0.0.1:11434"})],
    ),
    "server config": (
        'level=INFO source=r.go:1 msg="server config" env="map[CUDA_VISIBLE_DEVICES:-1 HTTPS_PROXY: OLLAMA_DEBUG:INFO]"\n',
        lambda f: dict(f.process.environ),
        {"CUDA_VISIBLE_DEVICES": "-1"},
    ),
    "docker info": (
        "$ docker info\nServer:\n Server Version: 27.1.1\n Runtimes: io.containerd.runc.v2 nvidia runc\n",
        lambda f: f.traces.docker_kind,
        "engine",
    ),
    "pod": (
        POD,
        lambda f: [(c.name, c.oom_killed, c.exit_code, c.restarts, (c.memory_limit or 0) >> 30) for c in f.traces.containers],
        [("ollama-0", True, 137, 6, 4)],
    ),
    "unit file": (
        "$ cat /etc/systemd/system/ollama.service.d/override.conf\n[Service]\nEnvironment=OLLAMA_DEBUG=1\n",
        lambda f: f.traces.unit_text,
        "# /etc/systemd/system/ollama.service.d/override.conf\n[Service]\nEnvironment=OLLAMA_DEBUG=1\n",
    ),
    "unit that is not there": (
        "Unit ollama.service could not be found.\n",
        lambda f: f.unit.properties["LoadState"],
        "not-found",
    ),
    "kernel": (
        "[   12.512345] NVRM: Xid (PCI:0000:01:00): 79, pid=1, GPU has fallen off the bus.\n",
        lambda f: "Xid" in f.kernel,
        True,
    ),
    "api error": (
        '{"error":"llama runner process has terminated: exit status 2"}\n',
        lambda f: f.journal,
        "Error: llama runner process has terminated: exit status 2\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_a_tool_prints_becomes_facts(case: str) -> None:
    text, look, wanted = CASES[case]
    assert look(read(text)) == wanted
    notes = bundle.read("h", {"paste": text}, by_hand=True).notes
    assert not [note for note in notes if note.startswith("not recognized")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('$ curl localhost:11434/api/version\n{"version":"0.12.0"}\n', ("/api/version", 200, "")),
        ("$ curl -v http://localhost:11434\n* connect to ::1 port 11434 failed: Connection refused\n"
         "curl: (7) Failed to connect to localhost port 11434: Connection refused\n", ("/", None, "refused")),
        ("$ curl -v http://box:11434/api/tags\n> GET /api/tags HTTP/1.1\n> Host: box\n>\n< HTTP/1.1 502 Bad Gateway\n"
         "< Server: nginx\n<\n<html>bad</html>\n", ("/api/tags", 502, "")),
        ("$ curl -i https://box/api/version\nHTTP/2 404\nserver: cloudflare\n\nno\n", ("/api/version", 404, "")),
        ("$ curl -sS -m 5 http://box:11434/api/tags\ncurl: (28) Connection timed out after 5001 milliseconds\n",
         ("/api/tags", None, "timeout")),
        ("$ ollama --version\nollama version is 0.11.4\n", ("/api/version", 200, "")),
        ("NAME    ID              SIZE      MODIFIED\nm:1b    0123456789ab    1.3 GB    2 days ago\n", ("/api/tags", 200, "")),
    ],
)  # fmt: skip
def test_answers_over_http(text: str, wanted: tuple[str, int | None, str]) -> None:
    assert exchanges(text) == [wanted]


def test_a_share_on_the_gpu_is_that_of_the_table() -> None:
    text = "NAME   ID              SIZE     PROCESSOR          UNTIL\nm:7b   0123456789ab    10 GB    25%/75% CPU/GPU    4 minutes from now\n"
    (one,) = read(text).exchanges
    row = json.loads(one.body)["models"][0]
    assert (row["size"], row["size_vram"]) == (10**10, 75 * 10**8)


SAID = [
    ("requests.exceptions.ConnectionError: HTTPConnectionPool(host='10.0.0.7', port=11434): Max retries exceeded with url: "
     "/api/chat (Caused by NewConnectionError('x: [Errno 111] Connection refused'))", "requests", "refused", "10.0.0.7", 11434),
    ("requests.exceptions.ReadTimeout: HTTPConnectionPool(host='box', port=11434): Read timed out. (read timeout=60)",
     "requests", "read-timeout", "box", 11434),
    ("httpx.ConnectError: [Errno -2] Name or service not known", "httpx", "dns", "", None),
    ("httpx.HTTPStatusError: Client error '404 Not Found' for url 'http://box:11434/v1/api/chat'", "httpx", "http", "box", 11434),
    ("aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host ollama:11434 ssl:default [Name or service not "
     "known]", "aiohttp", "dns", "ollama", 11434),
    ("openai.APITimeoutError: Request timed out.", "openai", "read-timeout", "", None),
    ("Error: connect ECONNREFUSED 127.0.0.1:11434", "node", "refused", "127.0.0.1", 11434),
    ("Error: getaddrinfo ENOTFOUND host.docker.internal", "node", "dns", "host.docker.internal", None),
    ("TypeError: fetch failed { [cause]: HeadersTimeoutError: Headers Timeout Error }", "node", "read-timeout", "", None),
    ("AxiosError: Request failed with status code 403", "node", "http", "", None),
    ('Error: Head "http://10.0.0.7:11434/": dial tcp 10.0.0.7:11434: connect: no route to host', "ollama", "unreachable",
     "10.0.0.7", 11434),
    ('Get "https://box/api/tags": x509: certificate signed by unknown authority', "go", "tls", "box", 443),
    ("curl: (60) SSL certificate problem: self-signed certificate", "curl", "tls", "", None),
    ("curl: (52) Empty reply from server", "curl", "closed", "", None),
    ("2026/03/02 10:00:00 [error] 31#31: *7 upstream timed out (110: Connection timed out) while reading response header from "
     'upstream, client: 10.0.0.1, server: box, upstream: "http://127.0.0.1:11434/api/chat"', "nginx", "read-timeout",
     "127.0.0.1", 11434),
    ('{"level":"error","logger":"http.log.error","msg":"dial tcp 127.0.0.1:11434: connect: connection refused","status":502}',
     "caddy", "refused", "127.0.0.1", 11434),
    ("error code: 524", "cloudflare", "http", "", None),
    ("Access to fetch at 'http://box:11434/api/tags' from origin 'https://app' has been blocked by CORS policy", "browser",
     "cors", "box", 11434),
]  # fmt: skip


@pytest.mark.parametrize("row", SAID, ids=lambda row: row[0][:40])
def test_what_clients_say(row: tuple[str, str, str, str, int | None]) -> None:
    text, by, kind, host, port = row
    (found,) = read(text + "\n").traces.client_errors
    assert (found.by, found.kind, found.host, found.port) == (by, kind, host, port)


def test_an_error_inside_a_persons_own_words_is_heard() -> None:
    text = "It fails:\n[TypeError: fetch failed] {\n  cause: [Error: connect ECONNREFUSED 127.0.0.1:11434] {\n"
    (found,) = read(text).traces.client_errors
    assert (found.by, found.kind, found.port, found.origin.line) == ("node", "refused", 11434, 3)


def test_the_program_that_finds_no_server_is_a_client() -> None:
    text = "$ ollama -v\nWarning: could not connect to a running Ollama instance\nWarning: client version is 0.11.4\n"
    assert [(one.by, one.kind) for one in read(text).traces.client_errors] == [("ollama", "refused")]


def test_a_command_in_backticks_is_read() -> None:
    found = read("`sudo docker run -d -e OLLAMA_BASE_URL=http://127.0.0.1:11434 --name web open-webui:main`\n")
    assert [(one.name, one.image) for one in found.traces.containers or ()] == [("web", "open-webui:main")]


def test_the_log_of_a_server_is_no_clients_word() -> None:
    line = 'time=2026-03-02T10:00:00Z level=WARN source=x.go:1 msg="pull" error="Get \\"https://r\\": dial tcp: i/o timeout"\n'
    assert read(line).traces.client_errors == ()


def forms() -> list[tuple[str, re.Pattern[str]]]:
    """Patterns of the registry as they are used: tried at the beginning of a line."""
    return [(kind.name, form) for kind in kinds.KINDS for form in (kind.opens, kind.goes_on, kind.command) if form]


@pytest.mark.parametrize(
    "unit", ["a", " ", "a ", "0", "a: ", "[", "| ", "-", "a.", "/a", "LISTEN 0 ", "tcp 0 0 ", "inet ", "\t"]
)
def test_a_form_takes_no_more_than_the_length_of_a_line(unit: str) -> None:
    line = unit * (4000 // len(unit))
    for name, form in forms():
        began = time.thread_time()
        form.match(line)
        form.search(line[:500])
        assert time.thread_time() - began < 0.05, name
    began = time.thread_time()
    clients.error(line)
    assert time.thread_time() - began < 0.05


def test_names_of_kinds_are_their_own() -> None:
    names = [kind.name for kind in kinds.KINDS]
    assert len(names) == len(set(names))
