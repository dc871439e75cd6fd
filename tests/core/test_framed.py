"""Output of a command is found again among the words of sudo, of a terminal and of login files."""

from __future__ import annotations

import subprocess

import pytest

from reaper_ops.core import framed

TOKEN = "0123456789abcdef"
LECTURE = (
    "\r\nWe trust you have received the usual lecture from the local System\r\nAdministrator. It usually boils down "
    "to these three things:\r\n\r\n    #1) Respect the privacy of others.\r\n    #2) Think before you type.\r\n    "
    "#3) With great power comes great responsibility.\r\n\r\nFor security reasons, the password you type will not be "
    "visible.\r\n\r\n"
)
"""As Ansible handed it over from a Debian 12 host: sudo with a password, `lecture=always`, `ssh -tt`."""


def test_a_lecture_and_a_terminal_around_the_answer() -> None:
    mark = f"reaper_ops-part:{TOKEN}"
    captured = f'{LECTURE}\r\n\r\n{mark}\r\n{{"a": 1}}\r\n\r\n{mark}\r\nlogout\r\n'
    assert framed.parts(TOKEN, captured, 1) == ('{"a": 1}',)


@pytest.mark.parametrize("before", ["", "perl: warning: Setting locale failed.\n", "motd without end of line"])
def test_what_a_shell_prints_is_what_is_read(before: str) -> None:
    asked = ["echo one; echo two", "printf 'no end of line'", "cat /nonexistent 2>/dev/null"]
    done = subprocess.run(["sh", "-c", framed.command(TOKEN, asked)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert framed.parts(TOKEN, before + done.stdout + "bye\n", 3) == ("one\ntwo", "no end of line", "")


def test_an_answer_that_is_cut_or_of_another_question_is_none() -> None:
    done = subprocess.run(["sh", "-c", framed.command(TOKEN, ["echo 1", "echo 2"])], capture_output=True, text=True)
    whole = done.stdout
    assert framed.parts(TOKEN, whole, 2) == ("1", "2")
    assert all(framed.parts(TOKEN, whole[:at], 2) == () for at in range(len(whole) - 1))
    assert framed.parts("f" * 16, whole, 2) == ()


def test_a_trace_of_the_shell_shows_no_mark() -> None:
    command = ["sh", "-xc", framed.command(TOKEN, ["echo 1"])]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert f"reaper_ops-part:{TOKEN}" in done.stdout
    assert "1" in "".join(framed.parts(TOKEN, done.stdout, 1)).split("\n")
