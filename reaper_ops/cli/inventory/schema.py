"""`reaper-ops schema`."""

from __future__ import annotations

import click


@click.command("schema")
@click.option(
    "--for",
    "kind",
    type=click.Choice(["vars", "inventory"]),
    default="vars",
    show_default=True,
    help="vars: a group_vars or host_vars file; inventory: a whole inventory in YAML",
)
def command(kind: str) -> None:
    """Print the JSON Schema of the settings, from which editors complete and check.

    In VS Code (redhat.vscode-yaml): save it, and begin a file with
    `# yaml-language-server: $schema=PATH`.
    """
    import json

    from reaper_ops.core.inventory.settings import schema

    click.echo(json.dumps(schema.KINDS[kind](), indent=2, ensure_ascii=False))
