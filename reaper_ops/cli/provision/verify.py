"""`reaper-ops verify`."""

from __future__ import annotations

from typing import Any

import click

from reaper_ops.cli.options import source_from, source_options


@click.command("verify")
@source_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="output format")
def command(output: str, **kwargs: Any) -> int:
    """Check the desired state on the hosts with independent tests (testinfra). Changes nothing."""
    from reaper_ops.flows.provision import verify
    from reaper_ops.formats.provision import verification_json, verification_text

    found = verify.verify(source_from(kwargs))
    click.echo((verification_json if output == "json" else verification_text).render(found))
    return found.exit_code
