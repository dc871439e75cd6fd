"""`reaper-ops lab`."""

from __future__ import annotations

import click

from reaper_ops.formats.visible import one_line
from reaper_ops.lab.world import World


@click.group("lab", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """A simulated fleet on loopback, to rehearse with: Ollama, registry and release server are simulated."""


@command.command("up")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="output format")
def up(output: str) -> int:
    """Start the lab and bring its four hosts up, as `up` does with any fleet."""
    from reaper_ops.cli.provision import up as verb
    from reaper_ops.flows.lab import lab

    click.echo(_text(lab.up()), err=output == "json")
    outcome = verb.run(lab.source(), output, yes=True, diffs=False)
    surprises = lab.surprises(outcome.planned.inventory, outcome.report)
    for text in surprises or ("as rehearsed: lab-refused and lab-oom are broken on purpose",):
        click.echo(one_line(text), err=output == "json")
    return outcome.report.exit_code if surprises else 0


@command.command("down")
def down() -> int:
    """Take the four hosts down and stop the lab."""
    from reaper_ops.flows.lab import lab
    from reaper_ops.flows.provision import down as verb

    removed = verb.down(lab.source(), confirm=lambda _: True, purge_models=True)
    for host, problem in removed.problems.items():
        click.echo(one_line(f"{host}: {problem}"), err=True)
    click.echo(_text(lab.down()))
    return removed.exit_code


@command.command("break")
@click.argument("host")
@click.argument("fault")
def break_(host: str, fault: str) -> int:
    """Switch FAULT on at HOST; the running server shows it with its next request."""
    from reaper_ops.flows.lab import lab

    click.echo(_text(lab.break_(host, fault)))
    return 0


@command.command("heal")
@click.argument("host")
def heal(host: str) -> int:
    """Switch every fault of HOST off."""
    from reaper_ops.flows.lab import lab

    click.echo(_text(lab.heal(host)))
    return 0


@command.command("status")
def status() -> int:
    """Show what runs, and which faults are on."""
    from reaper_ops.flows.lab import lab

    click.echo(_text(lab.status()))
    return 0


@command.command("faults")
def faults() -> int:
    """List the faults."""
    from reaper_ops.flows.lab import lab

    found = lab.faults()
    width = max(map(len, found))
    for name, text in found.items():
        click.echo(f"{name:<{width}}  {text}")
    return 0


def _text(world: World) -> str:
    rows = [f"simulated lab in {world.root}"]
    for part in world.parts:
        state = f"runs (pid {part.pid})" if part.pid else "stopped"
        rows.append(f"  {part.name:<12} {part.url:<24} {state}")
    for host, names in world.faults.items():
        rows.append(f"  {host:<12} {'faults: ' + ', '.join(names) if names else 'no fault'}")
    return "\n".join(map(one_line, rows))
