"""What Ansible complains about, from its standard error: one sentence, the place, and the next step."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
    return re.sub(r"got: <class '.*Tagged(\w+)'>", lambda found: f"got a {found[1].lower()}", one_line).rstrip(". ")


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
