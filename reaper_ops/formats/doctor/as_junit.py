"""A diagnosis for CI: a test suite per host, a failed case per cause."""

from __future__ import annotations

from xml.etree import ElementTree as XML

from reaper_ops.core.doctor.diagnosis import Cause, Diagnosis, FleetDiagnosis
from reaper_ops.core.doctor.finding import Severity
from reaper_ops.formats.health.as_text import ascii_safe


def render(checkup: FleetDiagnosis) -> str:
    root = XML.Element("testsuites", name="reaper-ops doctor")
    for host in checkup.hosts:
        root.append(_suite(host))
    XML.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + XML.tostring(root, encoding="unicode")


def _suite(host: Diagnosis) -> XML.Element:
    """A host that could not be looked at is an error; warnings are cases that were skipped with their text."""
    cases = [_case(host.host, cause) for cause in host.causes]
    state = XML.Element("testcase", classname=host.host, name="state")
    if host.state is None:
        XML.SubElement(state, "error", message=ascii_safe(host.problem or host.summary))
    elif host.severity is Severity.ERROR and not host.explained:
        XML.SubElement(state, "failure", type=str(host.state), message=ascii_safe(host.summary))
    rows = [state, *cases]
    suite = XML.Element("testsuite", name=host.host, tests=str(len(rows)))
    for kind, name in KINDS.items():
        suite.set(name, str(sum(row.find(kind) is not None for row in rows)))
    suite.extend(rows)
    return suite


KINDS = {"failure": "failures", "error": "errors", "skipped": "skipped"}


def _case(host: str, cause: Cause) -> XML.Element:
    finding = cause.finding
    row = XML.Element("testcase", classname=host, name=finding.id)
    kind = "failure" if finding.severity is Severity.ERROR else "skipped"
    said = XML.SubElement(row, kind, message=ascii_safe(finding.summary))
    if kind == "failure":
        said.set("type", finding.id)
    evidence = [f"{seen.source}: {seen.text}" for seen in finding.evidence]
    steps = [f"{n}. {step.text} {step.command}".rstrip() for n, step in enumerate(cause.steps, 1)]
    said.text = ascii_safe_lines([*evidence, *steps, f"check: {cause.verify}"])
    return row


def ascii_safe_lines(lines: list[str]) -> str:
    return "\n".join(ascii_safe(line) for line in lines)
