"""Any value comes out of systemd's, YAML's, Compose's and JSON's reader as it went in."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reaper_ops.core.provision import quoting

TRICKY = (
    'a"b',
    "a\\",
    "\\n",
    "100%",
    "%h",
    "$HOME",
    "$$",
    "${X}",
    "a b",
    "'",
    "#x",
    "ä→🦙",
    "{{ x }}",
    "a\tb",
    " ",
    "",
)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=40)
C_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}


def systemd_reads(word: str) -> str:
    """One quoted word by systemd.syntax(7): quotes, C escapes, then specifiers."""
    assert "\n" not in word
    assert word[0] == word[-1] == '"'
    assert not re.search(r'(?<!\\)(\\\\)*"', word[1:-1])
    plain = re.sub(r"\\(.)", lambda found: C_ESCAPES.get(found[1], found[1]), word[1:-1])
    assert not re.search("%[^%]", plain.replace("%%", ""))
    return plain.replace("%%", "%")


@given(PRINTABLE)
@settings(max_examples=200)
def test_systemd_reads_back_what_was_quoted(value: str) -> None:
    assert systemd_reads(quoting.assignment("NAME", value)) == f"NAME={value}"


@pytest.mark.parametrize("value", TRICKY)
def test_systemd_reads_back_tricky_values(value: str) -> None:
    assert systemd_reads(quoting.assignment("NAME", value)) == f"NAME={value}"


@given(TEXT)
@example("\u2028\x85\ufeff")
@settings(max_examples=200)
def test_yaml_and_json_read_back_what_was_quoted(value: str) -> None:
    quoted = quoting.double_quoted(value)
    assert json.loads(quoted) == value
    assert yaml.safe_load(f"key: {quoted}\n") == {"key": value}


@pytest.mark.parametrize("value", TRICKY)
def test_yaml_and_json_read_back_tricky_values(value: str) -> None:
    quoted = quoting.double_quoted(value)
    assert json.loads(quoted) == value == yaml.safe_load(quoted)


def compose_version() -> str:
    if not shutil.which("docker"):
        return ""
    return subprocess.run(["docker", "compose", "version"], capture_output=True, text=True, check=False).stdout


@pytest.mark.skipif("Compose" not in compose_version(), reason="Compose v2 is not on this machine")
def test_compose_reads_back_tricky_values(tmp_path: Path) -> None:
    lines = [f"      N{at}: {quoting.compose(value)}" for at, value in enumerate(TRICKY)]
    file = tmp_path / "compose.yaml"
    file.write_text("\n".join(["services:", "  a:", "    image: x", "    environment:", *lines, ""]))
    argv = ["docker", "compose", "-f", str(file), "config", "--no-interpolate", "--format", "json"]
    raw = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    argv.remove("--no-interpolate")
    read = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    assert raw["services"]["a"]["environment"] == {f"N{at}": v.replace("$", "$$") for at, v in enumerate(TRICKY)}
    again = {name: value.replace("$$", "$") for name, value in read["services"]["a"]["environment"].items()}
    assert again == {f"N{at}": value for at, value in enumerate(TRICKY)}
