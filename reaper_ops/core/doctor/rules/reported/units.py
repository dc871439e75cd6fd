"""What systemd and Docker say of the server's start."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.reported import unit_steps
from reaper_ops.core.doctor.rules.reported.finding import reported
from reaper_ops.core.doctor.rules.rule import Rule

DOWN = ("service-crash-looping", "service-not-running", "connection-refused", "http-error")


def systemd_exec_failed(case: HostEvidence) -> Finding | None:
    """systemd cannot set up what the unit asks for, so the server is never started.

    Statuses of 200 to 245 are systemd's own: each names one setting of the unit, and the program never ran. Its log
    is therefore empty, and changing Ollama's settings does not help.

    Signals:
    - `Main process exited, code=exited, status=203/EXEC`, `226/NAMESPACE`, `238/STATE_DIRECTORY`
    - `Failed at step EXEC spawning /usr/bin/ollama: No such file or directory`

    Not to be confused with:
    - service-crash-looping: the program started, and ended by itself (status 1 or 2).
    - unit-file-invalid: systemd does not accept the unit file at all.

    Sources:
    - systemd.exec(5), "Process Exit Codes"
    - https://github.com/ollama/ollama/issues/3195
    """
    return reported(case, "systemd-exec-failed")


def unit_file_invalid(case: HostEvidence) -> Finding | None:
    """systemd ignores a line of the unit, or refuses the whole unit file.

    A line that is not `Name=value`, a setting outside of its section, or an `Environment=` without a variable is
    skipped with a warning, and the server runs without it. A unit without ExecStart= is not started.

    Signals:
    - `Invalid environment assignment, ignoring: …`
    - `Missing '=', ignoring line.`, `Unknown key name '…' in section 'Service', ignoring.`

    Not to be confused with:
    - unit-config-not-applied: the file is right, and systemd has not read it yet.
    - env-value-invalid: the variable arrives, and Ollama does not understand its value.

    Sources:
    - systemd.syntax(7), systemd.exec(5)
    """
    return reported(case, "unit-file-invalid")


def docker_daemon_config_invalid(case: HostEvidence) -> Finding | None:
    """Docker does not start, because its own configuration file is invalid.

    Guides for the NVIDIA runtime or for mirrors change /etc/docker/daemon.json. A missing comma, or a setting that
    the service's command line gives as well, keeps the engine and all of its containers down.

    Signals:
    - `unable to configure the Docker daemon with file /etc/docker/daemon.json: invalid character …`
    - `the following directives are specified both as a flag and in the configuration file`

    Not to be confused with:
    - container-toolkit-missing: the engine runs, and does not know the GPU.

    Sources:
    - https://docs.docker.com/engine/daemon/troubleshoot/
    """
    return reported(case, "docker-daemon-config-invalid")


RULES = (
    Rule(
        systemd_exec_failed,
        Severity.ERROR,
        steps=(unit_steps.SHOW, unit_steps.EDIT, unit_steps.AGAIN),
        explains=DOWN,
        needs=("journal.log",),
    ),
    Rule(
        unit_file_invalid,
        Severity.ERROR,
        steps=(
            Step("Let systemd check the unit.", "systemd-analyze verify ollama.service"),
            Step(
                'Correct the line: one `Name=value` each, under [Service]; a variable is Environment="NAME=value".',
                "sudo systemctl edit --full ollama",
            ),
            unit_steps.AGAIN,
        ),
        explains=DOWN,
        needs=("journal.log",),
    ),
    Rule(
        docker_daemon_config_invalid,
        Severity.ERROR,
        steps=(
            Step("Let Docker check the file.", "sudo dockerd --validate --config-file /etc/docker/daemon.json"),
            Step("Correct the place that it names; settings that dockerd's command line gives must not be repeated."),
            Step("Start the engine.", "sudo systemctl restart docker"),
        ),
        explains=DOWN,
        needs=("journal.log",),
    ),
)
