"""Why a host cannot be entered: what ssh, sudo and Ansible print, as one sentence and the next step that helps."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Login:
    """How a host is entered: what its variables and the command line say.

    locked: a key that ssh would use and could not, as it has a passphrase; the one that is named, or ssh's own choice.
    """

    host: str = ""
    user: str = ""
    port: str = ""
    key: str = ""
    args: str = ""
    locked: str = ""

    @property
    def command(self) -> str:
        """The ssh that a person types to see the same."""
        return shlex.join(self.words())

    @property
    def asking(self) -> str:
        """The same, which asks whether the host key is right even where ssh is set to refuse."""
        return shlex.join(self.words("-o", "StrictHostKeyChecking=ask"))

    def words(self, *options: str) -> tuple[str, ...]:
        words = ["ssh", *options, *_split(self.args)]
        words += ["-i", self.key] if self.key else []
        words += ["-p", self.port] if self.port not in {"", "22"} else []
        return (*words, f"{self.user}@{self.host}" if self.user else self.host)

    @property
    def who(self) -> str:
        return shlex.quote(self.user) if self.user else "this user"


@dataclass(frozen=True)
class Trouble:
    """problem is one sentence; step is what to type or set.

    asks: what ssh would ask a person, HOST_KEY or PASSPHRASE; words: the program that asks it.
    """

    problem: str
    step: str
    asks: str = ""
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.problem}; {self.step}"


HOST_KEY, PASSPHRASE = "host key", "passphrase"
ENTER = "`{login.command}` shows the same"
ADDRESS = "check ansible_host, and that the host is on: `ping {0}`"
CHANGED = re.compile(r'^[ \t]{0,64}ssh-keygen -f "([^"\n]{1,512})" -R "([^"\n]{1,256})"', re.MULTILINE)
PRINT = re.compile(r"^The fingerprint for the (\w+) key sent by the remote host is\s+(SHA256:[\w+/=]+)", re.MULTILINE)
RULES = (
    (
        r"Unable to execute ssh command line",
        "there is no ssh program on this machine",
        "install OpenSSH's client, for example `apt-get install openssh-client`",
    ),
    (
        r"you have requested strict checking",
        "its SSH host key is not known on this machine, and StrictHostKeyChecking lets nobody confirm it",
        "compare its fingerprint and answer yes: `{login.asking} true`",
    ),
    (
        r"^(?:Warning: )?Identity file (\S+) not accessible|^no such identity: (\S+): No such file",
        "there is no private key {0}",
        "correct --private-key or ansible_ssh_private_key_file",
    ),
    (
        r"^Permissions (\d+) for '([^']+)' are too open",
        "ssh refuses the key {1}: others may read it (mode {0})",
        "`chmod 600 {1}`",
    ),
    (
        r"^Your account has expired",
        "the account of {login.who} on the host has expired",
        "as root on the host: `chage -E -1 {login.who}`",
    ),
    (
        r"Password change required|^WARNING: Your password has expired|^sudo: Account or password is expired",
        "the password of {login.who} on the host has expired",
        "log in once and change it: `{login.command}`",
    ),
    (
        r"^This account is currently not available",
        "{login.who} has no login shell on the host",
        "name another user with --user, or as root on the host: `usermod -s /bin/sh {login.who}`",
    ),
    (
        r"Too many authentication failures",
        "the host hung up before ssh offered the right key: the agent holds too many",
        "set --private-key, and `-o IdentitiesOnly=yes` in ansible_ssh_common_args",
    ),
    (
        r"^(?:ssh: )?Could not resolve hostname ([^\s:]+)",
        "the name {0} does not resolve on this machine",
        "correct ansible_host; `getent ahosts {0}` must print an address",
    ),
    (
        r"connect to host (\S+) port (\d+): Connection refused",
        "nothing listens for SSH at {0} port {1}",
        "start it on the host (`systemctl enable --now ssh`), or correct ansible_port",
    ),
    (
        r"connect to host (\S+) port (\d+): (?:No route to host|Network is unreachable)",
        "no route leads to {0}",
        ADDRESS,
    ),
    (
        r"connect to host (\S+) port (\d+): (?:Connection|Operation) timed out",
        "{0} does not answer at port {1}: it is off, or a firewall drops the packets",
        ADDRESS,
    ),
    (
        r"^Connection to (\S+) port (\d+) timed out|^Connection timed out during banner exchange",
        "the SSH port answers and then says nothing: the host is overloaded, or something else listens there",
        "look at the host's console; " + ENTER,
    ),
    (
        r"[Nn]o matching ([\w ]+) found\. Their offer: (\S+)",
        "ssh and the host share no {0}; the host offers {1}",
        "update the host's sshd, or allow one of these in ansible_ssh_common_args",
    ),
    (
        r"^(\S+: line \d+: Bad configuration option: \S+|Bad owner or permissions on \S+)",
        "ssh's own configuration on this machine is wrong: {0}",
        "correct it; " + ENTER,
    ),
    (
        r"^Connection closed by UNKNOWN port",
        "the jump host or ProxyCommand gives no connection",
        ENTER,
    ),
    (
        r"^(?:(?:k|ss)[a-z]*_exchange_identification|banner exchange): |^Connection (?:closed|reset) by ",
        "what listens at the SSH port hangs up: no sshd, or one that refuses this machine",
        "correct ansible_port, or read on the host: `journalctl -u ssh -u sshd`",
    ),
    (
        r"Missing (\w+) password|^sudo: a password is required|^sudo: a terminal is required to read the password",
        "sudo wants a password, and none was given",
        "add `-K` to be asked once, or `--become-password-file FILE`",
    ),
    (
        r"Incorrect (\w+) password",
        "{0} does not accept the password that was given for {login.who}",
        "add `-K` and type the right one",
    ),
    (
        r"^(\S+) is not in the sudoers file|^Sorry, user (\S+) (?:is not allowed to execute|may not run sudo)",
        "{0} may not become root by sudo",
        "as root on the host: `usermod -aG sudo {0}` (Red Hat: `wheel`); or name another user with --user",
    ),
    (
        r"you must have a tty to run sudo",
        "sudo on the host wants a terminal (requiretty)",
        "set `ansible_pipelining: false` for this host, or remove requiretty from its sudoers",
    ),
    (
        r"^(?:\S+: )?(?:line )?(?:\d+: )?(sudo|su|doas): (?:command )?not found",
        "there is no {0} on the host",
        "install it, or log in as root with `--user root`",
    ),
    (
        r"waiting for privilege escalation prompt",
        "sudo did not ask for its password in time",
        "see whether `sudo true` answers on the host: `{login.command}`",
    ),
    (
        r"Invalid become method specified, could not find matching plugin: '(\w+)'",
        "ansible_become_method {0} is not among those of ansible-core",
        "set it to sudo or su",
    ),
    (
        r"requires a minimum of Python(?:2 version \S+ or Python3)? version ([\d.]+)\. Current version: ([\d.]+)",
        "the host's Python {1} is too old; {0} is the oldest that works",
        "install a newer one, and set ansible_python_interpreter to it",
    ),
    (
        r"^dd: error writing '([^'\n]+)/ansible-tmp[^'\n]*': No space left on device",
        "the file system of {0} on the host is full",
        "free some space (`df -h {0}`), or set ansible_remote_tmp to another place",
    ),
    (
        r"Failed to create temporary directory[\s\S]*?echo (\S+)/ansible-tmp",
        "Ansible's directory {0} cannot be made on the host: not permitted, read-only or full",
        "look at it (`df -h {0}`), or set ansible_remote_tmp to another place, such as /var/tmp/.ansible",
    ),
)
UNCONFIRMED = re.compile(r"Host key verification failed|because Host Key checking is enabled")
_RULES = tuple((re.compile(pattern, re.MULTILINE), problem, step) for pattern, problem, step in RULES)
_DENIED = re.compile(r"^(?:(\S+)@)?[^\s@]+: Permission denied \(([\w,-]*)\)", re.MULTILINE)


def of_result(result: Mapping[str, Any], login: Login) -> Trouble | None:
    """None where the failure has another reason than entering the host; login banners are passed over."""
    text = _text(result)
    return _changed_key(text, login) or _by_rule(text, login) or _unknown_key(text, login) or _denied(text, login)


def is_denied(result: Mapping[str, Any]) -> bool:
    """Whether the host let ssh try its keys, and took none."""
    return _DENIED.search(_text(result)) is not None


def _text(result: Mapping[str, Any]) -> str:
    """What ssh and the host wrote, each message at the start of a line."""
    parts = (result.get("msg"), result.get("module_stderr"), result.get("module_stdout"))
    text = "\n".join(str(part) for part in parts if part).replace("\r", "")
    text = re.sub(r"Data could not be sent to remote host .{0,400}?can be reached over ssh: ", "\n", text)
    return text.replace("Failed to connect to the host via ssh: ", "\n")


def _unknown_key(text: str, login: Login) -> Trouble | None:
    if not UNCONFIRMED.search(text):
        return None
    problem = "its SSH host key is not known on this machine, and there was nobody to confirm it"
    step = f"compare its fingerprint and answer yes: `{login.command} true`"
    return Trouble(problem, step, HOST_KEY, login.words())


def _changed_key(text: str, login: Login) -> Trouble | None:
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" not in text:
        return None
    shown, known = PRINT.search(text), CHANGED.search(text)
    named = f" (it shows {shown[1]} {shown[2]})" if shown else ""
    forget = shlex.join(["ssh-keygen", *(("-f", known[1], "-R", known[2]) if known else ("-R", login.host))])
    return Trouble(
        f"its SSH host key is another one than before{named}: it was installed again, or somebody is in between",
        f"compare the fingerprint on its console; if it is right: `{forget}`, then `{login.command} true`",
    )


def _by_rule(text: str, login: Login) -> Trouble | None:
    for pattern, problem, step in _RULES:
        found = list(pattern.finditer(text))
        if found:
            groups = [group for group in found[-1].groups() if group is not None]
            quoted = map(shlex.quote, groups)
            return Trouble(problem.format(*groups, login=login), step.format(*quoted, login=login))
    return None


def _denied(text: str, login: Login) -> Trouble | None:
    match = _DENIED.search(text)
    if match is None:
        return None
    user = match[1] or login.who
    if login.locked:
        words = ("ssh-add", login.locked)
        problem = f"the key {login.locked} has a passphrase, and nobody could type it"
        return Trouble(problem, f"`{shlex.join(words)}`", PASSPHRASE, words)
    step = f"name the right --user and --private-key; {ENTER.format(login=login)}"
    return Trouble(f"{user} was not let in: the host accepts no key or password of ours ({match[2]})", step)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []
