"""Every verb of the program. Cases of inventories: a file or folder, options in NAME.args, words in NAME.error."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from reaper_ops.cli.program import program

ROOT = Path(__file__).resolve().parents[1]
INVENTORIES = ROOT / "tests" / "inventories"
BESIDE = {".args", ".error", ".expect", ".vars"}


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    if not isinstance(command, click.Group):
        yield " ".join(path)
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, (*path, name))


VERBS = tuple(leaves(program))


def names(folder: str) -> list[str]:
    return sorted({path.name.split(".")[0] for path in (INVENTORIES / folder).iterdir()})


def argv(folder: str, name: str) -> list[str]:
    """Options for the case, with paths as seen from the root of the repository."""
    found = [p for p in (INVENTORIES / folder).glob(f"{name}*") if p.stem == name and p.suffix not in BESIDE]
    args = INVENTORIES / folder / f"{name}.args"
    words = shlex.split(args.read_text()) if args.exists() else []
    return [*(word for path in found for word in ("-i", str(path.relative_to(ROOT)))), *words]
