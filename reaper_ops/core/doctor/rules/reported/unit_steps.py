"""What helps where systemd could not set something up for the server: by the step that failed."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Automate, Step

SHOW = Step("See the unit as systemd has loaded it, with its drop-ins.", "systemctl cat ollama")
EDIT = Step("Correct the setting in a drop-in.", "sudo systemctl edit ollama")
AGAIN = Step(
    "Have systemd read its units again, and restart the server.",
    "sudo systemctl daemon-reload && sudo systemctl restart ollama",
    Automate.NEVER,
)
_PRIVATE = Step(
    "A DynamicUser's directories need /var/lib/private with mode 0700. Set that mode.",
    "sudo chmod 0700 /var/lib/private",
)
_OWNER = Step("See who owns the directory that systemd names, and its mode.", "ls -ld /var/lib/private /var/lib/ollama")
_WHICH = Step("Find where the program is.", "command -v ollama || ls -l /usr/local/bin/ollama /usr/bin/ollama")
_EXEC = Step("Set ExecStart= in the unit to that path.", "sudo systemctl edit --full ollama")
_MODE = Step(
    "Make the program executable, and check that its file system is not mounted noexec.",
    "sudo chmod 0755 \"$(systemctl show ollama -p ExecStart --value | grep -o 'path=[^ ;]*' | cut -d= -f2)\"",
)
_FORMAT = Step(
    "Compare the architecture of the program with that of the machine.", "uname -m; file -L /usr/local/bin/ollama"
)
_USER = Step(
    "Create the user that the unit names, or correct User= and Group= in a drop-in.",
    "sudo useradd -r -s /bin/false -U -m -d /usr/share/ollama ollama",
)
_DIRECTORY = Step(
    "Create the directory of WorkingDirectory=, and let the unit's user enter it.",
    "systemctl show ollama -p WorkingDirectory -p User",
)
_PATHS = Step(
    "Create the missing path, or remove it from the unit's path settings.",
    "systemctl show ollama -p BindPaths -p ReadWritePaths -p ReadOnlyPaths -p InaccessiblePaths",
)
_LABEL = Step("See what the security module denied.", "sudo ausearch -m AVC -ts recent | tail -n 20")


def of(name: str, why: str) -> tuple[Step, ...]:
    """why: the errno's text, where the line has one."""
    if name == "EXEC":
        return _exec(why)
    if name.endswith("_DIRECTORY"):
        first = (_PRIVATE, _OWNER) if name != "RUNTIME_DIRECTORY" else (_OWNER,)
        return (*first, AGAIN)
    by_step: dict[str, tuple[Step, ...]] = {
        "USER": (_USER,),
        "GROUP": (_USER,),
        "CHDIR": (_DIRECTORY,),
        "NAMESPACE": (_PATHS,),
        "SELINUX_CONTEXT": (_LABEL,),
        "APPARMOR": (_LABEL,),
    }
    return (SHOW, *by_step.get(name, ()), EDIT, AGAIN)


def _exec(why: str) -> tuple[Step, ...]:
    if "ermission" in why:
        return (_MODE, AGAIN)
    if "format" in why:
        return (_FORMAT, AGAIN)
    return (_WHICH, SHOW, _EXEC, AGAIN)
