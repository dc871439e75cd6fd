"""One text as people paste it: split by what it is, read as what a host would have answered, nothing dropped unsaid."""

from __future__ import annotations

from typing import Any

import pytest
from ending import ends
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops.core import facts
from reaper_ops.core.doctor import bundle
from reaper_ops.core.doctor.bundle import SavedHost
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.facts.traces import Traces

TICKET = """\
### What is the issue?

After the update nothing answers any more, see below.

<details><summary>status</summary>

```shell
ana@box:~$ systemctl status ollama
● ollama.service - Ollama Service
     Loaded: loaded (/etc/systemd/system/ollama.service; enabled; preset: enabled)
    Drop-In: /etc/systemd/system/ollama.service.d
             └─override.conf
     Active: activating (auto-restart) (Result: exit-code) since Mon 2026-03-02 10:00:00 CET; 2s ago
    Process: 5120 ExecStart=/usr/local/bin/ollama serve (code=exited, status=1/FAILURE)
   Main PID: 5120 (code=exited, status=1/FAILURE)
        CPU: 21ms

Mar 02 10:00:00 box ollama[5120]: Error: listen tcp 10.1.1.1:11434: bind: cannot assign requested address
ana@box:~$ sudo ss -ltnp
State  Recv-Q Send-Q Local Address:Port Peer Address:Port Process
LISTEN 0      128          0.0.0.0:22        0.0.0.0:*    users:(("sshd",pid=700,fd=3))
ana@box:~$ free -h
               total        used        free      shared  buff/cache   available
Mem:            31Gi       4.0Gi        20Gi       0.1Gi       7.0Gi        27Gi
Swap:             0B          0B          0B
```

</details>

> quoted by somebody
> ```
> $ curl http://box:11434/api/version
> curl: (7) Failed to connect to box port 11434 after 2 ms: Couldn't connect to server
> ```
"""


def saved(text: str, name: str = "paste") -> SavedHost:
    return bundle.read("pasted", {name: text}, by_hand=True)


def read(text: str, name: str = "paste") -> Facts:
    kept = saved(text, name)
    return facts.parse("pasted", kept.settings, kept.answers or {})


def traces(text: str) -> Traces:
    found = read(text).traces
    assert found is not None
    return found


def test_a_ticket_with_many_outputs_is_taken_apart() -> None:
    found, kept = read(TICKET), saved(TICKET)
    assert found.unit is not None
    assert found.unit.properties["ActiveState"] == "activating"
    assert found.unit.properties["ExecMainStatus"] == "1"
    assert found.memory is not None
    assert (found.memory.total >> 30, found.memory.swap_total) == (31, 0)
    assert [(one.address, one.port) for one in found.traces.listeners] == [("0.0.0.0", 22)]
    assert "cannot assign requested address" in (found.journal or "")
    (error,) = found.traces.client_errors
    assert (error.by, error.kind, error.host, error.port) == ("curl", "refused", "box", 11434)
    assert (error.url, error.origin.part) == ("http://box:11434/api/version", "paste")
    assert kept.notes == ("read as systemctl status, sockets, memory, curl",)
    assert kept.exchanges[0].error == "refused"


def test_each_block_says_where_it_stands() -> None:
    found = {one.kind: (one.first, one.command) for one in traces(TICKET).shown}
    assert found["sockets"] == (20, "sudo ss -ltnp")
    assert TICKET.split("\n")[19].startswith("State")


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (
            "$ helm list\nNAME NAMESPACE\nx y\n",
            "not recognized: paste lines 2-3: nobody here reads what `helm list` prints",
        ),
        ("```\nsome table\nof mine\n```\n", "not recognized: paste lines 2-3: no output that is known here"),
        ('{"strange": 1}\n', "not recognized: paste lines 1-1: JSON of no kind that is known here"),
        ("it does not work at all\n", "not recognized: paste lines 1-2: no output that is known here"),
    ],
)
def test_what_nobody_reads_is_named_with_a_hint(text: str, note: str) -> None:
    assert any(said.startswith(note) for said in saved(text).notes), saved(text).notes


LOG = 'time=2026-03-02T10:00:00.000Z level=ERROR source=sched.go:1 msg="error loading" error="x"'
FORMS = {
    "bare": LOG,
    "syslog": f"Mar 02 10:00:00 box ollama[7]: {LOG}",
    "other locale": f"mars 02 10:00:00 box ollama[7]: {LOG}",
    "short-iso": f"2026-03-02T10:00:00+0100 box ollama[7]: {LOG}",
    "with-unit": f"Mon 2026-03-02 10:00:00 CET box ollama.service[7]: {LOG}",
    "json": '{"__REALTIME_TIMESTAMP":"1772442000000000","_HOSTNAME":"box","SYSLOG_IDENTIFIER":"ollama","_PID":"7",'
    + f'"MESSAGE":"{LOG.replace(chr(34), chr(92) + chr(34))}"'
    + "}",
    "engine's file": '{"log":"' + LOG.replace('"', '\\"') + '\\n","stream":"stderr","time":"2026-03-02T10:00:00.1Z"}',
    "docker -t": f"2026-03-02T10:00:00.123456789Z {LOG}",
    "kubernetes": f"[pod/ollama-7d9-x/ollama] {LOG}",
    "cri": f"2026-03-02T10:00:00.123456789Z stderr F {LOG}",
    "compose": f"ollama-1  | {LOG}",
    "compose -t": f"ollama-1  | 2026-03-02T10:00:00.123456789Z {LOG}",
    "quoted": f"> {LOG}",
    "coloured": f"\x1b[31m{LOG}\x1b[0m",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_line_of_the_server_in_every_frame(form: str) -> None:
    assert LOG in (read(FORMS[form] + "\r\n").journal or "")


def test_what_another_container_wrote_is_not_the_servers_log() -> None:
    text = f"open-webui  | INFO: started\nollama      | {LOG}\nnginx       | 10.0.0.1 - GET /\n"
    assert (read(text).journal or "").strip() == LOG


def test_whose_and_when_is_kept() -> None:
    text = "webui-1  | 2026-03-02T10:00:00.1Z httpx.ConnectError: [Errno 111] Connection refused\n"
    (error,) = traces(text).client_errors
    assert (error.by, error.kind) == ("httpx", "refused")
    assert (error.origin.owner, error.origin.when, error.origin.line) == ("webui-1", "2026-03-02T10:00:00.1Z", 1)


def test_a_file_is_read_by_what_it_holds() -> None:
    table = "| NVIDIA-SMI 550.1   Driver Version: 550.1   CUDA Version: 12.4 |\n"
    assert read(table, "ss.txt").gpu.driver == "550.1"
    session = "$ ollama ps\nNAME  ID  SIZE  PROCESSOR  UNTIL\nm:1b    0123456789ab    2.0 GB    100% GPU    Forever\n"
    assert '"size_vram": 2000000000' in str(read(session, "journal.log").exchanges)


@pytest.mark.parametrize(
    "unit", ["[", "{", "> ", "a", "| ", "\x1b[", "<p>", "```\n", "$ ss\n", "[\n", '{"a":\n', "\t", "=", "   x\n"]
)
def test_hostile_text_is_harmless(unit: str) -> None:
    with ends():
        saved(unit * (200_000 // len(unit)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=60), st.sampled_from([*FORMS.values(), *TICKET.split("\n")])), max_size=12))
def test_any_text_is_taken(lines: list[str]) -> None:
    kept: Any = saved("\n".join(lines))
    assert facts.parse("h", kept.settings, kept.answers).host == "h"
