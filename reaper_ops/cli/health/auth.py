"""`reaper-ops auth`."""

from __future__ import annotations

import click

from reaper_ops.core.health.report import HostReport, Report
from reaper_ops.formats.visible import one_line

PROVIDERS = click.Choice(["ollama"])


@click.group("auth")
def command() -> None:
    """Confirm a connection to an Ollama server and remember its URL. Ollama needs no credentials."""


@command.command()
@click.argument("provider", type=PROVIDERS)
@click.option("--base-url", help="URL of the server; by default the remembered one, otherwise http://localhost:11434")
def login(provider: str, base_url: str | None) -> int:
    """Confirm that the server answers, and remember its URL."""
    from reaper_ops.flows.health import auth

    report, confirmed = auth.login(base_url or auth.remembered() or auth.DEFAULT)
    if not confirmed:
        return _sick(report)
    click.echo(f"{provider}: no credentials needed; the connection works")
    _show(report)
    return 0


@command.command()
def status() -> int:
    """Show the remembered server and how it answers now."""
    from reaper_ops.flows.health import auth

    report = auth.status()
    if report is None:
        click.echo("ollama: no server is remembered; `reaper-ops auth login ollama` confirms one")
        return 5
    if report.version is None:
        return _sick(report)
    _show(report)
    return 0


@command.command()
@click.argument("provider", type=PROVIDERS, required=False, default="ollama")
def logout(provider: str) -> int:
    """Forget the remembered URL."""
    from reaper_ops.flows.health import auth

    address = auth.logout()
    click.echo(f"{provider}: {f'forgot {one_line(address)}' if address else 'nothing was remembered'}")
    return 0


def _show(report: HostReport) -> None:
    click.echo(f"  url      {one_line(report.url)}")
    click.echo(f"  version  {one_line(report.version)}")
    click.echo(f"  models   {one_line(', '.join(report.models)) or 'none yet; `ollama pull llama3` gets one'}")


def _sick(report: HostReport) -> int:
    from reaper_ops.formats.health import as_text

    answer = Report("auth", (report,))
    click.echo(as_text.render(answer))
    return answer.exit_code
