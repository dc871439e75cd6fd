"""`doctor --from`: what a person put together of pasted text is diagnosed, and what is missing is said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reaper_ops.cli.program import run

RECORDED = Path(__file__).parents[2] / "cases" / "recorded"
CONTAINER = "container-memory-limit-oom"
KILLED = "Out of memory: Killed process 812 (llama-server) total-vm:1kB, anon-rss:9kB, file-rss:0kB, UID:0\n"


def pasted(home: Path, **texts: str) -> str:
    host = home / "gpu1"
    host.mkdir()
    for name, text in texts.items():
        (host / name.replace("_", ".")).write_text(text)
    return str(host)


def recorded(name: str) -> str:
    """With paths as they are on a host."""
    return (RECORDED / name).read_text().replace("WORK/", "/srv/work/")


@pytest.mark.parametrize(
    ("texts", "id_"),
    [
        ({"kernel_log": "[ 7.1] Memory cgroup o" + KILLED[1:]}, "systemd-memorymax-oom"),
        ({"kernel_log": "[ 7.1] " + KILLED}, "kernel-oom-kill"),
        ({"kernel_log": recorded("oom-load-kernel.log")}, CONTAINER),
        (
            {"journal_log": recorded("oom-load-server.log"), "kernel_log": recorded("oom-load-kernel.log")},
            CONTAINER,
        ),
        ({"journal_log": recorded("ctx-too-large-cgroup-server.log")}, "runner-crash-other"),
        ({"journal_log": recorded("start-models-dir-unwritable.log")}, "models-dir-permission"),
        ({"journal_log": recorded("journal-port-taken.log")}, "port-taken"),
        ({"journal_log": recorded("start-home-unset.log")}, "service-home-missing"),
    ],
)
def test_pasted_text_is_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], texts: dict[str, str], id_: str
) -> None:
    assert run(["doctor", "--from", pasted(tmp_path, **texts)]) == 3
    said = capsys.readouterr().out
    assert re.findall(r"\[([a-z-]+)\]$", said, re.MULTILINE)[0] == id_
    assert "-i INVENTORY" in said
    assert "Start the server" not in said, "nobody knows whether it is down"


def test_where_no_rule_speaks_the_missing_parts_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--from", pasted(tmp_path, journal_log=recorded("journal-main-killed.log"))]) == 3
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "not read: http, kernel.log, systemctl-show.txt, systemctl-cat.txt and 7 more (not there); they could" in said
    )


def test_no_setting_is_guessed_for_a_host_that_was_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listens = 'LISTEN 0 4096 *:11434 *:* users:(("ollama",pid=812,fd=3))\n'
    host = Path(pasted(tmp_path, ss_txt=listens, ps_txt="ollama 812 0.1 0.3 5 9 ? Ssl Nov20 3:33 ollama serve\n"))
    (host / "http").mkdir()
    (host / "http" / "version.json").write_text('{"version": "0.34.1"}')
    assert run(["doctor", "--from", str(host)]) == 5
    said = capsys.readouterr().out
    assert re.findall(r"\[([a-z-]+)\]$", said, re.MULTILINE) == ["exposed-unauthenticated"]
    assert "wants" not in said
    assert "is wished" not in said


def test_answers_that_were_pasted_are_not_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = Path(pasted(tmp_path, journal_log=""))
    (host / "http").mkdir()
    (host / "http" / "version.json").write_text('{"version": "0.35.1"}')
    run(["doctor", "-v", "--from", str(host)])
    said = capsys.readouterr().out
    assert "not read: kernel.log" in said
    assert "not read: http" not in said


def test_text_that_is_there_and_means_nothing_is_said_to_be_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = pasted(tmp_path, meminfo_txt="        gesamt  benutzt\nSpeicher:  32456212  4023416\n")
    assert run(["doctor", "--from", host]) == 5
    said = " ".join(capsys.readouterr().out.split())
    assert "meminfo.txt (is there, and cannot be understood)" in said
    assert "kernel.log" in said
    assert "(not there)" in said
