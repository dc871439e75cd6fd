"""The verbs of the program: where each is, and what help says of it. Nothing is imported before it runs."""

from __future__ import annotations

VERBS = {
    "hosts": "reaper_ops.cli.inventory.hosts:command",
    "plan": "reaper_ops.cli.provision.plan:command",
    "up": "reaper_ops.cli.provision.up:command",
    "down": "reaper_ops.cli.provision.down:command",
    "render": "reaper_ops.cli.provision.render:command",
    "probe": "reaper_ops.cli.health.probe:command",
    "doctor": "reaper_ops.cli.doctor.doctor:command",
    "watch": "reaper_ops.cli.health.watch:command",
    "report": "reaper_ops.cli.health.report:command",
    "verify": "reaper_ops.cli.provision.verify:command",
    "runbook": "reaper_ops.cli.doctor.runbook:command",
    "auth": "reaper_ops.cli.health.auth:command",
    "models": "reaper_ops.cli.models.group:command",
    "lab": "reaper_ops.cli.lab.lab:command",
    "releases": "reaper_ops.cli.inventory.releases:command",
    "init": "reaper_ops.cli.inventory.init:command",
    "schema": "reaper_ops.cli.inventory.schema:command",
}
HELP = {
    "hosts": "Show each host's effective settings and where each came from.",
    "plan": "Show what `up` would change on each host, and why. Changes nothing.",
    "up": "Converge hosts to their desired state: show the plan, ask, apply it, and prove the result.",
    "down": "Remove from hosts what reaper_ops installed, and nothing else.",
    "render": "Print the exact files for each host.",
    "probe": "Show how each host answers: its state, the evidence, the next step.",
    "doctor": "Diagnose unhealthy hosts: the cause, the evidence, the remedy; apply it where that is safe.",
    "watch": "Probe repeatedly: a live table, changes with their cause, metrics for Prometheus.",
    "report": "Write one self-contained web page about the fleet.",
    "verify": "Check the desired state on the hosts with independent tests (testinfra).",
    "runbook": "Print the runbook of a cause that `doctor` names.",
    "auth": "Confirm a connection to an Ollama server and remember its URL.",
    "models": "Lock, deliver and check the models of a fleet.",
    "lab": "Run a simulated fleet on loopback, to rehearse with.",
    "releases": "List known Ollama releases, their vulnerabilities, and which one is recommended.",
    "init": "Write a commented example inventory.",
    "schema": "Print the JSON Schema of the settings.",
}
