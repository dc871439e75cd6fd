"""The one way to Ansible: its inventory, and playbooks whose results come back as events."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reaper_ops import assets
from reaper_ops.adapters import entering, keepalive, login, process, remote_tmp, utf8
from reaper_ops.adapters import inventory_files as beside
from reaper_ops.adapters.ansible_run import Event as Event
from reaper_ops.adapters.ansible_run import Run as Run
from reaper_ops.adapters.ansible_run import collected
from reaper_ops.adapters.source import EXTRA, secrets
from reaper_ops.adapters.source import Source as Source
from reaper_ops.core.inventory import complaint
from reaper_ops.core.inventory import hosts as core_inventory
from reaper_ops.core.inventory.hosts import Inventory
from reaper_ops.errors import CommandError, ReaperError, ReaperErrors

OnEvent = Callable[[Event], None]
Known = Mapping[str, Mapping[str, Any]]

CALM = "import atexit, gc; gc.set_threshold(100_000, 50, 50); atexit.register(gc.freeze)"
BOUND = "import ctypes; ctypes.CDLL(None).prctl(1, 15)" if sys.platform == "linux" else "pass"
"""PR_SET_PDEATHSIG, SIGTERM: killing us outright ends Ansible too; otherwise it would wait forever."""
WORDS = f"import json, os, sys; f = os.environ.pop('{EXTRA}', ''); sys.argv[2:2] = json.load(open(f)) if f else []"
"""Variables that were typed: everybody on this machine reads a command line, and nobody this file."""
FINDS = f"import ansible.constants as c; c.COLLECTIONS_PATHS.insert(0, {str(assets.collections())!r})"
"""Our own collection comes first: what was planned is not applied by another copy that somebody installed."""
PROGRAM = (sys.executable, "-c", f"{CALM}; {BOUND}; {WORDS}; {FINDS}; import ansible.__main__ as a; a.main()")
"""`python -m ansible` with a calm garbage collector, which else takes a fifth of its time, and its end above all."""


def _environment() -> dict[str, str]:
    ours = {
        "ANSIBLE_STDOUT_CALLBACK": "reaper_ops.ollama.reaper_events",
        "REAPER_OPS_EVENTS": "1",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
    }
    defaults = {
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_FORKS": str(min(50, 10 * (os.cpu_count() or 1))),
        "ANSIBLE_PYTHON_INTERPRETER": "auto_silent",
    }
    defaults = {k: os.environ.get(k, v) for k, v in defaults.items()}
    return {**defaults, **utf8.environment(), **keepalive.environment(), **remote_tmp.environment(), **ours}


LISTED = {
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_VERBOSITY": "0",
    "ANSIBLE_LOG_PATH": os.devnull,
    "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
}
"""For a listing: pure JSON, which holds every password and decrypted value, and so stands in no log of the user."""


def listing(source: Source, *, export: bool = False, vars_plugins: bool = True) -> Mapping[str, Any]:
    """`ansible inventory --list`: merged variables per host; with `export` as written, group by group."""
    check_source(source)
    argv = [*PROGRAM, "inventory", "--list", *source.argv()]
    if export:
        argv.append("--export")
    env = {**LISTED, **utf8.environment()}
    env |= {} if vars_plugins else {"ANSIBLE_VARS_ENABLED": ""}
    with secrets(source) as secret:
        result = process.run([*argv, *secret.words], env={**env, **secret.env})
    if result.rc != 0:
        said = complaint.of_listing(result.stderr)
        raise ReaperError(_near(said.place) or ", ".join(source.inventory), _near(said.problem), said.hint)
    try:
        found: Mapping[str, Any] = json.loads(result.stdout)
    except ValueError:
        raise CommandError("ansible inventory", "printed no JSON", complaint.sentence(result.stderr)) from None
    _check_hosts(source, found, complaint.unmatched(result.stderr))
    return found


def check_source(source: Source) -> None:
    """Ansible reads an empty inventory path as the current directory, and says little about a missing file."""
    if source.limit is not None and not source.limit.strip(" ,:"):
        raise ReaperError("--limit", "is empty", "name hosts or groups, or leave it out to mean all hosts")
    for path in source.inventory:
        if not path.strip():
            raise ReaperError("--inventory", "is empty", "name a file, a directory, or a list of hosts with a comma")
        if "," not in path and not Path(path).exists():
            raise ReaperError(path, "there is no such file or directory", "check --inventory")
        if "," not in path:
            beside.check(Path(path))
    for item in source.extra_vars:
        if item.startswith("@") and not Path(item[1:]).is_file():
            raise ReaperError("--extra-vars", f"there is no file {item[1:]}")


def _check_hosts(source: Source, found: Mapping[str, Any], unmatched: tuple[str, ...]) -> None:
    graph = "`ansible-inventory --graph` shows the hosts and groups"
    empty = not core_inventory.host_variables(found)
    if source.limit is not None and (unmatched or empty):
        raise ReaperError("--limit", f"{', '.join(unmatched) or source.limit} matches no host", graph)
    if empty:
        raise ReaperError(", ".join(source.inventory), "holds no host", graph)


def _near(text: str) -> str:
    """Paths below the current directory as the user would write them."""
    return text.replace(f"{Path.cwd()}/", "")


def inventory(source: Source, found: Mapping[str, Any] | None = None, known: Known | None = None) -> Inventory:
    """Hosts with their settings, evaluated by Ansible where they hold Jinja or inline vault values.

    found: what `listing` gave, when it is there already. known: variables that Ansible has evaluated already.
    """
    found = listing(source) if found is None else found
    evaluated = dict(known or {})
    waiting = tuple(host for host in core_inventory.needs_templating(found) if host not in evaluated)
    if waiting:
        evaluated |= {host: one.variables for host, one in evaluate(source, waiting).items()}
    return core_inventory.parse(found, evaluated)


@dataclass(frozen=True)
class Evaluated:
    """A host's settings after templating; files: `path:line` of those whose place Ansible knows."""

    variables: Mapping[str, Any]
    files: Mapping[str, str]


def evaluate(source: Source, hosts: tuple[str, ...]) -> dict[str, Evaluated]:
    run = playbook("settings.yml", source, limit=",".join(hosts))
    problems = {**run.unreachable, **run.failed}
    if problems:
        raise _together([ReaperError(*_evaluation_problem(host, text)) for host, text in problems.items()])
    return {
        event["host"]: Evaluated(
            event["result"].get("variables", {}),
            {name: _near(path) for name, path in event["result"].get("files", {}).items()},
        )
        for event in run.results
        if "result" in event
    }


def _evaluation_problem(host: str, message: str) -> tuple[str, str, str]:
    setting, _, problem = message.removeprefix("Evaluate the host's settings: ").partition(": ")
    hint = complaint.VAULT_HINT if "crypt" in problem else "fix the template"
    return f"{host}/{setting}", complaint.plain(problem.removeprefix("Error rendering template: ")), hint


def _together(errors: list[ReaperError]) -> ReaperError:
    return errors[0] if len(errors) == 1 else ReaperErrors(tuple(errors))


def extra_names(source: Source) -> frozenset[str]:
    """Names of the extra variables, as Ansible itself reads `-e name=value`, `-e @file` and JSON."""
    if not source.extra_vars:
        return frozenset()
    alone = replace(source, inventory=("localhost,",), limit=None)
    return frozenset(core_inventory.host_variables(listing(alone, vars_plugins=False))["localhost"])


@dataclass(frozen=True)
class Playing:
    """A playbook that runs."""

    name: str
    source: Source
    program: process.Started
    again: Callable[[str, OnEvent | None], Run]
    """The same for hosts that could not be entered, once a person has answered what ssh asked."""
    begun: Callable[[], None] = lambda: None
    """Called once Ansible has read what it needs of its caller."""

    def listing(self) -> Mapping[str, Any] | None:
        """What `listing` gives, as this run tells it before it reaches any host; None when it does not."""
        for line in self.program.lines():
            event = _event(line)
            if event is not None and event["event"] == "inventory":
                found: Mapping[str, Any] = event["listing"]
                _check_hosts(self.source, found, complaint.unmatched(self.program.complaints()))
                return found
            if event is not None:
                break
        return None

    def finish(self, on_event: OnEvent | None = None) -> Run:
        events: list[Event] = []

        def take(line: str) -> None:
            event = _event(line)
            if event is not None:
                self.begun()
                event = login.in_words(event)
                events.append(event)
                if on_event:
                    on_event(event)

        result = self.program.finish(take)
        run = collected(events)
        if not any(event["event"] == "stats" for event in events):
            raise CommandError(f"ansible playbook {self.name}", complaint.sentence(result.stderr + result.stdout), "")
        answered = entering.answered(events, on_event)
        return run.renewed(answered, self.again(",".join(answered), on_event)) if answered else run


@contextmanager
def playing(
    name: str,
    source: Source,
    *,
    limit: str | None = None,
    check: bool = False,
    diff: bool = False,
    variables: Mapping[str, Any] | None = None,
    listing: bool = False,
) -> Iterator[Playing]:
    """One of our playbooks, run beside the block; an exception in the block stops it."""
    check_source(source)
    argv = [*PROGRAM, "playbook", str(assets.playbook(name)), *source.argv(limit=limit), *source.login()]
    argv += ["--check"] if check else []
    argv += ["--diff"] if diff else []
    env = {**_environment(), "REAPER_OPS_LISTING": "1" if listing else "0"}

    def again(hosts: str, on_event: OnEvent | None) -> Run:
        return playbook(name, source, on_event=on_event, limit=hosts, check=check, diff=diff, variables=variables)

    with (
        _handed(variables) as words,
        secrets(source) as secret,
        process.started([*argv, *words, *secret.words], env={**env, **secret.env}) as program,
    ):
        yield Playing(name, source, program, again, secret.forget)


@contextmanager
def _handed(variables: Mapping[str, Any] | None) -> Iterator[list[str]]:
    """Variables in a file that its owner alone reads: a command line is read by everybody on this machine."""
    if not variables:
        yield []
        return
    text = json.dumps(variables)
    with tempfile.NamedTemporaryFile("w", prefix="reaper-ops-", suffix=".json") as file:
        file.write(text)
        file.flush()
        yield ["-e", f"@{file.name}"]


def playbook(
    name: str,
    source: Source,
    *,
    on_event: OnEvent | None = None,
    limit: str | None = None,
    check: bool = False,
    diff: bool = False,
    variables: Mapping[str, Any] | None = None,
) -> Run:
    """Runs one of our playbooks. Trouble on a host is in the Run; a run that broke raises CommandError."""
    with playing(name, source, limit=limit, check=check, diff=diff, variables=variables) as program:
        return program.finish(on_event)


def _event(line: str) -> Event | None:
    if not line.startswith('{"event"'):
        return None
    try:
        event: Event = json.loads(line)
    except ValueError:
        return None
    return event
