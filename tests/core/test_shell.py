"""A value in a command is one inert word, wherever its template puts it."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reaper_ops.core import shell

TEMPLATES = (
    "printf '%s\\0' {word}",
    "printf '%s\\0' a{word}b",
    "printf '%s\\0' '<{word}>'",
    "printf '%s\\0' \"<{word}>\"",
    "printf '%s\\0' one; printf '%s\\0' {word} | cat",
)
EVIL = (
    "$(touch X)",
    "`touch X`",
    "a;touch X",
    "a'b",
    'a"b',
    "a b",
    "a\\",
    "$IFS",
    "*",
    "&& touch X",
    "~",
    "#",
    "é",
    "!x",
)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("value", EVIL)
def test_a_shell_gives_the_value_back(template: str, value: str) -> None:
    done = subprocess.run(["bash", "-c", shell.command(template, {"word": value})], capture_output=True, check=True)
    plain = subprocess.run(["bash", "-c", shell.command(template, {"word": "XX"})], capture_output=True, check=True)
    assert done.stdout.decode() == plain.stdout.decode().replace("XX", value)
    assert done.stderr == b""


@given(st.text(max_size=40))
def test_any_text_is_one_word_or_nothing(value: str) -> None:
    try:
        found = shell.command("rm {word} end", {"word": value})
    except shell.ValueRefused:
        assert not value or value.startswith("-") or not value.isprintable()
        return
    assert shlex.split(found) == ["rm", value, "end"]


@pytest.mark.parametrize(
    "value", ["", "a", "~/x", "/a/../b", "/a/./b", "//a", "/a/", "/a\nb", "/a\u202e", "-rf", "/a//b"]
)
def test_a_path_is_absolute_and_without_detours(value: str) -> None:
    with pytest.raises(shell.ValueRefused):
        shell.command("rm {path}", {"path": value})


@pytest.mark.parametrize("value", ["", "-1", "1;x", "1 2", "١", "1\n", "9" * 13])
def test_a_number_is_one(value: str) -> None:
    with pytest.raises(shell.ValueRefused):
        shell.command("kill {pid}", {"pid": value})


def test_json_in_quotes_stays_json() -> None:
    found = shell.command('curl -d \'{"model": "{model}"}\'', {"model": "a\"b'c"})
    assert shlex.split(found) == ["curl", "-d", '{"model": "a\\"b\'c"}']


@pytest.mark.parametrize(
    ("path", "inside"),
    [("/s", True), ("/s/a", True), ("/sa", False), ("/", False), ("/other", False), ("s", False)],
)
def test_below(path: str, inside: bool) -> None:
    assert shell.below(path, ("/s",)) is inside
    assert not shell.below(path, ("",))


@pytest.mark.parametrize(
    ("path", "theirs"),
    [
        *(
            (path, True)
            for path in ("", "/", "/etc", "/etc/x", "/usr/lib/ollama", "/root", "/home", "/home/ana", "/srv")
        ),
        *((path, True) for path in ("/var/lib", "/var/lib/dpkg", "/var/lib/ollama-x", "/var/lib/ollama/../dpkg")),
        *(
            (path, False)
            for path in ("/var/lib/ollama", "/var/lib/ollama/models", "/home/ana/models", "/data", "/srv/x")
        ),
    ],
)
def test_directories_of_others(path: str, theirs: bool) -> None:
    assert shell.of_others(path) is theirs
