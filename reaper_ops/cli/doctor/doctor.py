"""`reaper-ops doctor`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reaper_ops.cli.options import option_without_effect, source_from, source_options, typed_places
from reaper_ops.errors import ReaperError
from reaper_ops.formats.visible import one_line

if TYPE_CHECKING:
    from reaper_ops.adapters.ansible import Source
    from reaper_ops.core.doctor.diagnosis import FleetDiagnosis
    from reaper_ops.core.doctor.rules.case import HostEvidence
    from reaper_ops.flows.doctor.doctor import HostSnapshot

FORMS = ("text", "json", "junit", "nagios")


@click.command("doctor")
@partial(source_options, required=False)
@click.option("--url", help="diagnose one server by its URL, from outside only")
@click.option(
    "--from", "from_", type=click.Path(path_type=Path), metavar="FILE|DIR", help="a bundle, or files that somebody sent"
)
@click.option("--paste", is_flag=True, help="diagnose the text on standard input; `doctor -` does the same")
@click.argument("text", required=False, metavar="[-]")
@click.option("--bundle", type=click.Path(path_type=Path), metavar="FILE", help="save all evidence as one archive")
@click.option("--explain", metavar="ID", help="print the runbook of this id; contacts no host")
@click.option(
    "--fix", is_flag=True, help="apply remedies: safe ones after they are shown, each of the others after a yes"
)
@click.option("-y", "--yes", is_flag=True, help="with --fix: apply the safe ones without asking (for machines)")
@click.option("--accept", multiple=True, metavar="ID", help="with --fix: approve the remedy of this id in advance")
@click.option("--slow", is_flag=True, help="measure a model that is already loaded, and show where the time goes")
@click.option("--load", is_flag=True, help="with --slow: load a model that is not loaded, to measure the cold start")
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="show all evidence, including that of consequences, and everything that was not read",
)
@click.option("-o", "--output", type=click.Choice(FORMS), default="text", help="output format")
def command(**kwargs: Any) -> int:
    """Diagnose unhealthy hosts: the cause, the evidence, the remedy; apply it where that is safe.

    With `-o nagios` the exit code is Nagios' own: 0 OK, 1 warning, 2 critical, 3 unknown.
    """
    if kwargs["explain"]:
        return _explain(kwargs["explain"])
    kwargs["paste"] = _is_pasted(**kwargs)
    typed_places(kwargs, kwargs["url"], kwargs["from_"] or kwargs["paste"])
    source = source_from(kwargs)
    _check(source, **kwargs)
    if kwargs["fix"]:
        from reaper_ops.cli.doctor import fix

        return fix.run(source, kwargs["output"], yes=kwargs["yes"], accept=kwargs["accept"])
    return _diagnose(source, **kwargs)


def _check(source: Source, **kwargs: Any) -> None:
    given = [name for name, there in _places(source, **kwargs).items() if there]
    if len(given) != 1:
        problem = f"{' and '.join(given)} were given together" if given else "nothing to look at"
        raise ReaperError(
            "doctor", problem, "give one of -i INVENTORY, --url http://HOST:11434, --from BUNDLE, --paste"
        )
    if given[0] != "an inventory":
        for name in ("fix", "bundle", "slow"):
            if kwargs[name]:
                raise ReaperError(f"--{name}", f"needs the hosts themselves, not {given[0]}", "give -i INVENTORY")
    if kwargs["slow"] and kwargs["output"] not in {"text", "json"}:
        raise ReaperError(
            "--output", f"{kwargs['output']} cannot show what was measured", "use text or json with --slow"
        )
    for name, needed in (("yes", "fix"), ("accept", "fix"), ("load", "slow")):
        if kwargs[name] and not kwargs[needed]:
            raise option_without_effect(f"--{name}", f"--{needed}")


def _is_pasted(*, paste: bool, text: str | None, **_: Any) -> bool:
    if text not in {None, "-"}:
        raise ReaperError("doctor", f"takes no {text!r}", "`-` reads pasted text; --from FILE reads a file")
    return paste or text == "-"


def _places(source: Source, *, url: str | None, from_: Path | None, paste: bool, **_: Any) -> dict[str, bool]:
    places = {"an inventory": bool(source.inventory), "a URL": bool(url), "a bundle": bool(from_)}
    return {**places, "pasted text": paste}


def _diagnose(source: Source, **kwargs: Any) -> int:
    from reaper_ops.flows.doctor import doctor

    patients = _patients(source, **kwargs)
    if kwargs["bundle"]:
        from reaper_ops.adapters import bundle

        bundle.write(kwargs["bundle"], [one.saved() for one in patients])
        click.echo(f"the evidence is in {one_line(kwargs['bundle'])}", err=True)
    words = "-i INVENTORY" if kwargs["from_"] or kwargs["paste"] else source.typed
    checkup = doctor.examine(patients, words)
    if kwargs["slow"]:
        click.echo(_with_gains(checkup, patients, words, kwargs["output"]))
    else:
        click.echo(as_output(checkup, kwargs["output"], verbose=kwargs["verbose"]))
    return exit_code(checkup, kwargs["output"])


def _with_gains(checkup: FleetDiagnosis, patients: Sequence[HostSnapshot], words: str, output: str) -> str:
    """Also what takes the time on each host that answers, and what would gain how much."""
    from reaper_ops.core import isolation
    from reaper_ops.core.doctor import latency as slow
    from reaper_ops.flows.doctor import doctor
    from reaper_ops.formats.doctor import as_json as doctor_json
    from reaper_ops.formats.doctor import latency_text as slow_text

    def gains(case: HostEvidence) -> tuple[slow.Gain, ...]:
        return isolation.alone(case.host, lambda: slow.gains(case), lambda said: ())

    rows = [(case.host, case.traces.timings or (), gains(case)) for case in doctor.cases(patients, words)]
    if output == "json":
        return doctor_json.render(checkup, rows)
    return "\n".join([as_output(checkup, output), *(slow_text.text(*row) for row in rows)])


def _patients(source: Source, **kwargs: Any) -> tuple[HostSnapshot, ...]:
    from reaper_ops.flows.doctor import doctor

    if kwargs["url"]:
        return doctor.from_url(kwargs["url"])
    if kwargs["from_"]:
        return doctor.from_bundle(kwargs["from_"])
    if kwargs["paste"]:
        return doctor.from_text(_standard_input())
    from reaper_ops.formats.progress import choose

    with choose(kwargs["output"]) as progress:
        inventory, patients = doctor.collect(source, progress)
        if kwargs["slow"]:
            patients = doctor.measured(source, inventory, patients, load=kwargs["load"], on_event=progress)
    return patients


def _standard_input() -> str:
    """As bytes, so that no terminal's encoding can break it."""
    import sys

    from reaper_ops.adapters import bundle

    if sys.stdin.isatty():
        click.echo("paste the text, then end it with Ctrl-D on a line of its own", err=True)
    return bundle.decoded(sys.stdin.buffer.read(bundle.MAX_FILE + 1))


def as_output(checkup: FleetDiagnosis, output: str, *, verbose: bool = False) -> str:
    from reaper_ops.core import isolation
    from reaper_ops.core.doctor.diagnosis import FleetDiagnosis, broken
    from reaper_ops.formats.doctor import as_json as doctor_json
    from reaper_ops.formats.doctor import as_junit as doctor_junit
    from reaper_ops.formats.doctor import as_nagios as doctor_nagios
    from reaper_ops.formats.doctor import as_text as doctor_text

    forms: dict[str, Callable[[FleetDiagnosis], str]] = {
        "text": partial(doctor_text.render, verbose=verbose),
        "json": doctor_json.render,
        "junit": doctor_junit.render,
        "nagios": doctor_nagios.render,
    }
    return isolation.rendered(lambda hosts: forms[output](FleetDiagnosis(hosts)), checkup.hosts, broken)


def exit_code(checkup: FleetDiagnosis, output: str) -> int:
    from reaper_ops.formats.doctor.as_nagios import nagios_code

    return nagios_code(checkup) if output == "nagios" else checkup.exit_code


def _explain(id_: str) -> int:
    from reaper_ops.formats.doctor import runbook

    click.echo(runbook.text(id_))
    return 0
