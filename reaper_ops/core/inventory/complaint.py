"""What Ansible complains about, from its standard error: one sentence, the place, and the next step."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PARSER = re.compile(r"Failed to parse (?:inventory|\S+) with '?(\w+)'? plugin: (.+)")
_SOURCE = re.compile(r"Completely failed to parse inventory source (.+)")
_ORIGIN = re.compile(r"^Origin: (/.+?):(\d+)(?::\d+)?$", re.MULTILINE)
_ERROR = re.compile(r"(?:\[?(?:ERROR|FATAL|fatal)\]?[:!]*|ansible: error:)\s*(.+)")
_UNMATCHED = re.compile(r"Could not match supplied host pattern, ignoring: (.+)")
_LIMIT_FILE = re.compile(r"Unable to find limit file b?'?([^']+)'?")
_PYTHON = re.compile(r"module interpreter '([^']+)' was not found")
_NOT_MEANT = ("no root 'plugin' key found", "Plugin configuration YAML file", "Invalid host pattern 'all:'")
_OWN_FORMAT = ("script", "yaml", "auto", "toml", "ini")

PLAIN = (
    ("Attempting to decrypt but no vault secrets found", "is encrypted, and no vault password is given"),
    ("Decryption failed", "the vault password given does not decrypt it"),
)
MOST_ITEMS = 3
LAST_LINES = 3
VAULT_HINT = "give the right --vault-password-file"


@dataclass(frozen=True)
class Complaint:
    """place is a path (`hosts.yml:6`) or an option (`--limit`); empty when Ansible named none."""

    place: str
    problem: str
    hint: str = ""


def of_listing(stderr: str) -> Complaint:
    """Why `ansible inventory` failed."""
    if match := _LIMIT_FILE.search(stderr):
        return Complaint("--limit", f"there is no file {match[1]}")
    if "Origin: <CLI option '-e'>" in stderr:
        return Complaint("--extra-vars", _problem(stderr), "write name=value, @file, or JSON")
    source, origin = _SOURCE.search(stderr), _ORIGIN.search(stderr)
    line = f"{origin[1]}:{origin[2]}" if origin else ""
    if source is None:
        beside = "in group_vars or host_vars: " if "YAML parsing failed" in stderr and not line else ""
        beside = "a vars file beside it " if "crypt" in stderr else beside
        return Complaint(line, beside + plain(sentence(stderr)), _hint(stderr))
    place = line if origin and origin[1] == source[1] else source[1]
    return Complaint(place, _problem(stderr), _hint(stderr))


def of_host(text: str) -> str:
    """Why a task failed on a host, with the next step where Ansible names none."""
    missing = _PYTHON.search(text)
    if missing:
        return f"there is no Python at {missing[1]}; install python3 on the host, or set ansible_python_interpreter"
    return text


def of_result(result: Mapping[str, Any]) -> str:
    """Why a task failed, from its result: items of a loop by name, commands with what they wrote."""
    rows = result.get("results")
    items = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    broken = [row for row in items if row.get("failed") or row.get("unreachable")]
    if broken:
        texts = [f"{_label(row)}{_of_one(row)}" for row in broken[:MOST_ITEMS]]
        more = [f"and {len(broken) - MOST_ITEMS} more"] if len(broken) > MOST_ITEMS else []
        return "; ".join([*texts, *more])
    return _of_one(result)


def _of_one(result: Mapping[str, Any]) -> str:
    text = str(result.get("msg") or result.get("exception") or "").strip()
    if died := str(result.get("module_stderr") or "").strip():
        lines = died.splitlines()
        said = lines[-1] if lines[0].startswith("Traceback") else lines[0]
        text = f"{text.splitlines()[0].rstrip('.') if text else 'the module died'}: {said}"
    elif result.get("rc") and (not text or text == "non-zero return code"):
        text = _of_command(result)
    return of_host(text or str(result.get("stderr") or "").strip() or "no message")


def _of_command(result: Mapping[str, Any]) -> str:
    """`sysctl: permission denied on key "vm.swappiness" (rc 255)`: the last lines that the program wrote."""
    words = result.get("cmd")
    program = str(words[0]) if isinstance(words, list) and words else str(words or "the command").split(" ")[0]
    wrote = [line.strip() for line in str(result.get("stderr") or result.get("stdout") or "").splitlines()]
    reason = " | ".join([line for line in wrote if line][-LAST_LINES:]) or "it wrote no reason"
    return f"{program} failed with exit code {result['rc']}: {reason}"


def _label(row: Mapping[str, Any]) -> str:
    label = row.get("_ansible_item_label", row.get("item"))
    return f"{label}: " if isinstance(label, str | int) and label != "" else ""


def _hint(stderr: str) -> str:
    return VAULT_HINT if "crypt" in stderr else ""


def _problem(stderr: str) -> str:
    """What the parser for this kind of file said; Ansible tries several, and most complaints miss the point."""
    said = {kind: text for kind, text in _PARSER.findall(stderr) if not text.startswith(_NOT_MEANT)}
    return plain(next((said[kind] for kind in _OWN_FORMAT if kind in said), sentence(stderr)))


def plain(text: str) -> str:
    """One line, with Ansible's most frequent phrases in plain words."""
    for phrase, words in PLAIN:
        if phrase in text:
            return words
    one_line = " ".join(text.split()).removeprefix("Failed to parse inventory: ").removeprefix("YAML parsing failed: ")
    return re.sub(
        r"got: <class '.{0,100}Tagged(\w{1,64})'>", lambda found: f"got a {found[1].lower()}", one_line
    ).rstrip(". ")


def sentence(stderr: str) -> str:
    """The line of Ansible's output that says what is wrong."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    for line in lines:
        if match := _ERROR.match(line):
            return match[1]
    return lines[-1] if lines else "no message"


def unmatched(stderr: str) -> tuple[str, ...]:
    """Patterns of --limit that match no host; Ansible only warns about them."""
    return tuple(dict.fromkeys(_UNMATCHED.findall(stderr)))
