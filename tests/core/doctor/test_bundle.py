"""The layout of a bundle: what is written and read again gives the same facts; what was pasted is made plain."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops.core import facts
from reaper_ops.core.doctor import bundle
from reaper_ops.core.doctor import paste as pasted
from reaper_ops.core.doctor.bundle import SavedHost
from reaper_ops.core.doctor.rules.gpu_chain import first_broken_link
from reaper_ops.core.facts.exchange import Exchange
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.errors import ReaperError

CASES = sorted((Path(__file__).parents[1] / "facts" / "cases").glob("*.json"))
RUNTIMES = ("systemd", "docker", "process")


def again(saved: SavedHost) -> SavedHost:
    return bundle.read(saved.host, bundle.files(saved), by_hand=False)


def parsed(saved: SavedHost) -> Facts:
    """Of what was asked; the rest is not there."""
    found = facts.parse("h", saved.settings, saved.answers or {})
    return replace(found, unread={ask: why for ask, why in found.unread.items() if why != "not there"})


def command(text: str, **more: Any) -> dict[str, Any]:
    return {"rc": 0, "stdout": text, "stderr": "", "truncated": False, "timed_out": False, **more}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_host_that_was_read_gives_the_same_facts_from_its_bundle(path: Path) -> None:
    case = json.loads(path.read_text())
    wanted = Settings.model_validate(case.get("settings", {}))
    answers = {"controller": {"before": 1.0, "after": 2.0}, **case["answers"]}
    kept = again(SavedHost("h", wanted, "http://h:11434", answers=answers))
    assert kept.answers is not None
    assert parsed(kept) == facts.parse("h", wanted, answers)


def test_what_a_diagnosis_asks_lies_in_plain_files() -> None:
    answers = {
        "log": command("one\n", stderr="two\n"),
        "meminfo": {
            "path": "/proc/meminfo",
            "exists": True,
            "kind": "file",
            "content": "MemTotal: 1 kB\n",
            "sha256": "x",
        },
        "listeners": command("LISTEN 0 0 *:11434 *:*\n"),
        "unit-text": command("", rc=1, stderr="No files found for ollama.service."),
        "process": {"found": True, "pid": 7, "environ": {"OLLAMA_HOST": "0.0.0.0"}},
        "api": {"exchanges": []},
        "asked ipv6": {"exchanges": []},
        "kernel-ring": {"missing": True},
        "file /etc/fstab": {"path": "/etc/fstab", "exists": False},
    }
    outside = (Exchange("/api/version", "connect", "refused"),)
    found = bundle.files(SavedHost("h", Settings(), "http://h", outside, answers))
    assert found["journal.log"] == "one\ntwo\n"
    assert found["meminfo.txt"] == "MemTotal: 1 kB\n"
    assert found["environ.txt"] == "OLLAMA_HOST=0.0.0.0\n"
    assert set(found) == {
        *("host.json", "settings.json", "journal.log", "meminfo.txt", "ss.txt", "environ.txt", "more/process.json"),
        *("more/unit-text.json", "http/inside.json", "http/asked-ipv6.json", "http/outside.json"),
        *("more/kernel-ring.json", "more/file%20%2Fetc%2Ffstab.json"),
    }


ANSWERS = st.one_of(
    st.fixed_dictionaries({"error": st.text(max_size=9)}),
    st.just({"missing": True}),
    st.builds(
        lambda rc, out, err, late: {"rc": rc, "stdout": out, "stderr": err, "truncated": False, "timed_out": late},
        st.sampled_from([0, 1, None]),
        st.text(max_size=40),
        st.text(max_size=20),
        st.booleans(),
    ),
    st.builds(lambda text: {"path": "/x", "exists": True, "kind": "file", "content": text}, st.text(max_size=40)),
    st.just({"path": "/x", "exists": False}),
)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_answers_come_back_as_the_same_facts(data: st.DataObject) -> None:
    wanted = Settings(ollama_runtime=data.draw(st.sampled_from(RUNTIMES)))
    kinds = {ask["id"]: ask["kind"] for ask in facts.asks(wanted, traces=True)}
    ids = data.draw(st.lists(st.sampled_from(sorted(kinds)), unique=True, max_size=12))
    answers = {id_: data.draw(ANSWERS.filter(lambda answer, k=kinds[id_]: _of(k, answer))) for id_ in ids}
    answers["controller"] = {}
    kept = again(SavedHost("h", wanted, answers=answers))
    assert kept.answers is not None
    assert parsed(kept) == facts.parse("h", wanted, answers)


def _of(kind: str, answer: dict[str, Any]) -> bool:
    """A file never answers as a command does, nor the other way round."""
    return ("content" not in answer and "exists" not in answer) if kind != "file" else "stdout" not in answer


@pytest.mark.parametrize("host", ["gpu1", "10.0.0.7", "fe80::1", "..", "a/../b", "rack 1/ü", "ansible_host=x"])
def test_a_host_of_any_name_has_a_folder_of_its_own(host: str) -> None:
    name = bundle.folder(host)
    assert "/" not in name
    assert name.strip(".")
    assert bundle.host_of(name) == host


def test_a_name_from_outside_cannot_talk_to_the_terminal() -> None:
    assert bundle.host_of("a%1b%5B31mb%0a") == "a?[31mb?"


def test_settings_come_back_without_their_secrets() -> None:
    wanted = Settings(
        ollama_https_proxy="http://user:geheim@proxy:3128",
        ollama_models=("llama3.2:1b",),
        swap_kind="file",
        swap_size="4G",
        ollama_keep_alive="30m",
        ollama_memory_max="8G",
    )
    found = bundle.files(SavedHost("h", wanted))
    assert "geheim" not in json.dumps(found)
    kept = again(SavedHost("h", wanted)).settings
    assert kept.ollama_https_proxy == "http://user:***@proxy:3128"
    assert kept.model_copy(update={"ollama_https_proxy": wanted.ollama_https_proxy}) == wanted


def test_a_host_that_was_not_read_stays_so() -> None:
    kept = again(
        SavedHost("h", Settings(), "http://h:1", (Exchange("/", "connect", "timeout"),), None, "cannot be reached")
    )
    assert (kept.answers, kept.problem, kept.url) == (None, "cannot be reached", "http://h:1")
    assert kept.exchanges == (Exchange("/", "connect", "timeout"),)


def test_what_a_bundle_that_ends_early_lacks_was_not_read() -> None:
    wanted = Settings(gpu_vendor="nvidia", gpu_require=True)
    answers = {
        "identity": {"arch": "x86_64"},
        "modules": {"path": "/proc/modules", "content": "nvidia 1 0 - Live 0x0\n"},
    }
    found = facts.parse("h", wanted, again(SavedHost("h", wanted, answers=answers)).answers or {})
    assert (found.gpu.modules, found.unread["nodes"]) == (("nvidia",), "not there")
    assert first_broken_link(wanted, found) is None


def test_a_broken_part_is_not_read_and_says_so() -> None:
    kept = bundle.read("h", {"more/user.json": "{", "journal.log": "x\n"}, {"ss.txt": "is a link"}, by_hand=False)
    found = facts.parse("h", kept.settings, kept.answers or {})
    assert {k: why for k, why in found.unread.items() if why != "not there"} == {
        "listeners": "ss.txt is a link",
        "user": "more/user.json is not a JSON object",
    }
    assert found.journal == "x\n"


@pytest.mark.parametrize("text", ["[]", "nonsense", '{"ollama_prot": 1}', '{"ollama_port": "x"}'])
def test_settings_that_are_none_name_their_place(text: str) -> None:
    with pytest.raises(ReaperError, match=r"gpu1/settings\.json"):
        bundle.read("gpu1", {"settings.json": text}, by_hand=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"schema": 2, "version": "9.0"}', "schema 2 of reaper-ops 9.0"),
        ("[]", "not the head"),
        ("{}", "not the head"),
    ],
)
def test_a_bundle_of_another_kind_is_refused(text: str, said: str) -> None:
    with pytest.raises(ReaperError, match=said):
        bundle.head(text, "x/bundle.json")


def by_hand(**files: str) -> Any:
    kept = bundle.read("gpu1", {name.replace("__", "."): text for name, text in files.items()}, by_hand=True)
    return facts.parse("gpu1", kept.settings, kept.answers or {})


def test_a_journal_alone_is_enough() -> None:
    found = by_hand(journal__log="$ journalctl -u ollama\nNov 23 gpu1 ollama[812]: Error: bind: address in use\n")
    assert found.journal == "Nov 23 gpu1 ollama[812]: Error: bind: address in use\n"
    assert found.unit is None
    assert found.traces is not None
    assert found.traces.listeners is None


ROW = 'LISTEN 0 4096 127.0.0.1:11434 0.0.0.0:* users:(("ollama",pid=812,fd=3))'
PASTED = [
    f"{ROW}\r\n",
    f"\x1b[1m{ROW[:6]}\x1b[0m{ROW[6:]}\n",
    f"me@gpu1:~$ sudo ss -ltnp\n{ROW}\nme@gpu1:~$ \n",
    f"```console\n[root@gpu1 ~]# ss -ltnp\n{ROW}\n```\n",
    f"\ufeff# ss -ltnp\n{ROW}\n",
]


@pytest.mark.parametrize("text", PASTED)
def test_prompts_colours_and_line_ends_are_taken_off(text: str) -> None:
    listeners = by_hand(ss__txt=text).traces.listeners
    assert [(one.address, one.port, one.pid) for one in listeners or ()] == [("127.0.0.1", 11434, 812)]


def test_headings_of_unit_files_are_no_prompts() -> None:
    text = "# /etc/systemd/system/ollama.service\n[Service]\n# a comment\nUser=ollama\n"
    assert pasted.cleaned(text) == text


def test_a_container_that_was_pasted_is_ours_too() -> None:
    row = {"Id": "c0", "Name": "/ollama", "Config": {"Image": "ollama/ollama:0.35.1"}, "State": {"Status": "exited"}}
    for text in (json.dumps([row]), json.dumps(row)):
        kept = bundle.read("h", {"docker-inspect.json": text}, by_hand=True)
        found = facts.parse("h", kept.settings, kept.answers or {})
        assert kept.settings.ollama_runtime == "docker"
        assert found.container is not None
        assert found.container.state == "exited"
        assert [one.name for one in found.traces.containers] == ["ollama"]


def test_an_environment_as_the_kernel_shows_it() -> None:
    found = by_hand(environ__txt="OLLAMA_HOST=0.0.0.0\0OLLAMA_MODELS=/srv/m=1\0")
    assert found.process.environ == {"OLLAMA_HOST": "0.0.0.0", "OLLAMA_MODELS": "/srv/m=1"}


@pytest.mark.parametrize(
    ("name", "text", "path", "status"),
    [
        ("version", '{"version":"0.35.1"}\n', "/api/version", 200),
        ("api-tags", "HTTP/1.1 403 Forbidden\nServer: nginx\nContent-Type: text/html\n\nno", "/api/tags", 403),
        ("x", '{"request": {"path": "/api/ps"}, "response": {"status": 500, "body": "b"}}', "/api/ps", 500),
        ("y", '{"path": "/", "phase": "done", "status": 200}', "/", 200),
        ("z", '{"exchanges": [{"path": "/a", "phase": "done", "status": 204}]}', "/a", 204),
    ],
)
def test_answers_of_a_server_in_many_forms(name: str, text: str, path: str, status: int) -> None:
    (found,) = bundle.read("h", {f"http/{name}.json": text}, by_hand=True).exchanges
    assert (found.path, found.status, found.phase) == (path, status, "done")


def test_an_answer_with_its_head_keeps_who_answered() -> None:
    (found,) = pasted.exchanges_of("version", "HTTP/1.1 502 Bad Gateway\nServer: nginx/1.24\n\n<html>\n")
    assert found.headers["server"] == "nginx/1.24"


ANY_FILE = [*bundle.FILES, "host.json", "environ.txt", "http/version.json", "http/outside.json", "more/x.json"]


@settings(max_examples=80, deadline=None)
@given(name=st.sampled_from(ANY_FILE), text=st.text())
def test_any_text_in_any_file_is_taken(name: str, text: str) -> None:
    for hand in (True, False):
        kept = bundle.read("h", {name: text}, by_hand=hand)
        assert facts.parse("h", kept.settings, kept.answers or {}).host == "h"


def test_every_file_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "bundles.md").read_text()
    assert [
        name for name in (*bundle.FILES, "environ.txt", "settings.json", "host.json") if f"`{name}`" not in text
    ] == []
