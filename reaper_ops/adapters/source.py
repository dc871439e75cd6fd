"""Where hosts come from and how they are entered: options that every Ansible program is given as they were typed."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

EXTRA = "REAPER_OPS_EXTRA_VARS"
VARIABLES = {"become": "ANSIBLE_BECOME_PASSWORD_FILE", "extra": EXTRA}
MEMORY = ("/dev/shm",)  # noqa: S108 - a directory of our own is made in it


@dataclass(frozen=True)
class Source:
    """The passwords were typed by a person; they are shown nowhere."""

    inventory: tuple[str, ...]
    limit: str | None = None
    extra_vars: tuple[str, ...] = ()
    vault_password_files: tuple[str, ...] = ()
    become_password_file: str | None = None
    user: str | None = None
    private_key: str | None = None
    forks: int | None = None
    become: bool = False
    become_password: str | None = field(default=None, repr=False)
    vault_password: str | None = field(default=None, repr=False)

    @property
    def typed(self) -> str:
        """The inventory as it was typed, for commands that people copy."""
        return " ".join(f"-i {shlex.quote(path)}" for path in self.inventory)

    @property
    def is_plain(self) -> bool:
        """Whether nothing but the inventory says how hosts are entered."""
        given = (self.become_password_file, self.become_password, self.vault_password, self.user, self.private_key)
        return not any(given)

    def argv(self, *, limit: str | None = None) -> list[str]:
        """Words for the inventory, which `ansible inventory` knows too; the extra variables are among the secrets."""
        words: list[str] = []
        for path in self.inventory:
            words += ["-i", path]
        chosen = limit if limit is not None else self.limit
        if chosen is not None:
            words += ["--limit", chosen]
        for path in self.vault_password_files:
            words += ["--vault-password-file", path]
        return words

    def login(self) -> list[str]:
        """Words for programs that enter hosts."""
        words = ["--user", self.user] if self.user else []
        words += ["--private-key", self.private_key] if self.private_key else []
        words += ["--forks", str(self.forks)] if self.forks else []
        return words + (["--become"] if self.become else [])


@dataclass(frozen=True)
class Secrets:
    """Words for the command line and variables for one run of Ansible; directory holds what was typed."""

    words: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None

    def forget(self) -> None:
        """Once the run has begun, Ansible holds them itself."""
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)


@contextmanager
def secrets(source: Source) -> Iterator[Secrets]:
    """Typed passwords and variables lie in memory, in a directory of ours alone, until Ansible has read them.

    It reads no pipe: it resolves each path to the end first.
    """
    env = {"ANSIBLE_BECOME_PASSWORD_FILE": source.become_password_file} if source.become_password_file else {}
    files = _typed(source)
    if not files:
        yield Secrets((), env)
        return
    directory = Path(tempfile.mkdtemp(prefix="reaper-ops-", dir=next(filter(_usable, MEMORY), None)))
    try:
        for kind, text in files.items():
            (directory / kind).touch(mode=0o600)
            (directory / kind).write_text(text + "\n", encoding="utf-8")
        env |= {name: str(directory / kind) for kind, name in VARIABLES.items() if kind in files}
        words = ("--vault-password-file", str(directory / "vault")) if "vault" in files else ()
        yield Secrets(words, env, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _typed(source: Source) -> dict[str, str]:
    words = [word for item in source.extra_vars for word in ("-e", item)]
    typed = {
        "become": source.become_password,
        "vault": source.vault_password,
        "extra": json.dumps(words) if words else None,
    }
    return {kind: text for kind, text in typed.items() if text is not None}


def _usable(place: str) -> bool:
    return Path(place).is_dir() and os.access(place, os.W_OK)
