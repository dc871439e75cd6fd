"""The programs and libraries of a release, and the limits that they meet."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.reported.finding import reported
from reaper_ops.core.doctor.rules.reported.units import DOWN
from reaper_ops.core.doctor.rules.rule import Rule

FAILED = (*DOWN, "degraded", "runner-crash-other", "gpu-not-used", "cpu-fallback")
RESTART = Step("Restart the server.", "{restart}")


def system_libraries_too_old(case: HostEvidence) -> Finding | None:
    """The system's C or C++ library is older than this build of Ollama needs.

    Ollama's release is linked against a certain glibc and libstdc++. Older distributions (RHEL 7, Amazon Linux 2) and
    musl systems (Alpine) lack them, so the program does not start at all.

    Signals:
    - ``version `GLIBC_2.27' not found (required by /usr/local/bin/ollama)``
    - ``version `GLIBCXX_3.4.25' not found``

    Not to be confused with:
    - shared-library-missing: one library is absent, and the system is new enough.
    - cpu-illegal-instruction: the program starts, and the processor lacks an instruction.

    Sources:
    - https://github.com/ollama/ollama/issues/11319
    """
    return reported(case, "system-libraries-too-old")


def shared_library_missing(case: HostEvidence) -> Finding | None:
    """A program of the release does not start, because a shared library cannot be loaded.

    The release was unpacked partly, a cleaner removed files, the library's directory is not readable for the server's
    user, or a driver's library (libcuda.so.1) is not installed.

    Signals:
    - `error while loading shared libraries: libggml-base.so: cannot open shared object file`
    - `exit status 127` of the runner

    Not to be confused with:
    - gpu-library-missing: the runner starts, without the libraries of the GPU.
    - system-libraries-too-old: the library is there, in an older version.

    Sources:
    - ld.so(8)
    """
    return reported(case, "shared-library-missing")


def program_not_executable(case: HostEvidence) -> Finding | None:
    """The server cannot execute a program of its release, such as llama-server.

    The file has no execute permission (an archive unpacked with the wrong umask, a copy over a file share), its file
    system is mounted noexec, it is for another architecture, or it is not there.

    Signals:
    - `fork/exec /usr/local/lib/ollama/llama-server: permission denied`
    - every generate request answers 500, while /api/version and /api/tags answer 200
    - `exit status 126`, `exec format error`

    Not to be confused with:
    - shared-library-missing: the program starts, and lacks a library.
    - unit-sandbox-blocks: the modes are right, and SELinux or AppArmor denies the start.

    Sources:
    - execve(2)
    """
    return reported(case, "program-not-executable")


def process_limits(case: HostEvidence) -> Finding | None:
    """The server has used up its file descriptors, threads or processes.

    LimitNOFILE=, LimitNPROC= and TasksMax= of the unit, `--ulimit` and `--pids-limit` of a container, or ulimit of a
    shell bound them. Requests then fail, although processor and memory are free.

    Signals:
    - `accept4: too many open files; retrying in 1s`
    - `failed to create new OS thread`, `pthread_create failed: Resource temporarily unavailable`

    Not to be confused with:
    - overcommit-or-ulimit: an allocation of memory is refused.
    - queue-full-503: the server refuses requests by its own limit.

    Sources:
    - getrlimit(2), systemd.exec(5), systemd.resource-control(5)
    """
    return reported(case, "process-limits")


RULES = (
    Rule(
        system_libraries_too_old,
        Severity.ERROR,
        steps=(
            Step("See which C library the system has.", "ldd --version"),
            Step(
                "Run Ollama in a container on this host; its image brings its own libraries.",
                "docker run -d --name ollama -v ollama:/root/.ollama -p 127.0.0.1:11434:11434 ollama/ollama",
            ),
            Step(
                "Or move to a newer release of the operating system, or use an older release of Ollama that fits it"
                " (0.5.12 and earlier need less). Do not replace the system's libc by hand."
            ),
        ),
        explains=FAILED,
        needs=("journal.log",),
    ),
    Rule(
        shared_library_missing,
        Severity.ERROR,
        steps=(
            Step(
                "List the libraries that the programs of the release do not find.",
                "ldd /usr/local/bin/ollama /usr/local/lib/ollama/llama-server 2>&1 | grep 'not found'",
            ),
            Step(
                "If the library belongs to Ollama (libggml, libllama), install this version again from its "
                "whole archive."
            ),
            Step(
                "If it belongs to the GPU's driver (libcuda, libnvidia-ml, libamdhip64), install the driver's"
                " user-space package."
            ),
            RESTART,
        ),
        explains=FAILED,
        needs=("journal.log",),
    ),
    Rule(
        program_not_executable,
        Severity.ERROR,
        steps=(
            Step(
                "See mode and owner of the program, and whether its file system forbids execution.",
                "ls -l /usr/local/lib/ollama/llama-server; findmnt -no OPTIONS -T /usr/local/lib/ollama",
            ),
            Step("Make it executable.", "sudo chmod 0755 /usr/local/lib/ollama/llama-server"),
            Step("If it is not there, or for another architecture, install this version again from its whole archive."),
            RESTART,
        ),
        explains=FAILED,
        needs=("journal.log",),
    ),
    Rule(
        process_limits,
        Severity.ERROR,
        steps=(
            Step("See the limits of the running server.", 'cat "/proc/$(pgrep -o -x ollama)/limits"'),
            Step(
                "With systemd, raise the one that is met, in a drop-in: LimitNOFILE=65536, TasksMax=infinity.",
                "sudo systemctl edit ollama",
            ),
            Step("For a container: `--ulimit nofile=65536`, `--pids-limit -1`."),
            RESTART,
        ),
        explains=FAILED,
        needs=("journal.log",),
    ),
)
