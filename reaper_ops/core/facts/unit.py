"""The systemd unit, as `systemctl show` prints it."""

from __future__ import annotations

from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts.answers import Answers, Ask, mapping, text
from reaper_ops.core.facts.model import Unit, UnitFile
from reaper_ops.core.inventory.settings import Settings

PROPERTIES = (
    *("LoadState", "ActiveState", "SubState", "Result", "UnitFileState", "NeedDaemonReload", "FragmentPath"),
    *("DropInPaths", "MainPID", "NRestarts", "ExecMainCode", "ExecMainStatus", "ExecStart", "User", "Group"),
    *("ControlGroup", "MemoryMax", "MemoryHigh", "MemoryCurrent", "MemorySwapMax", "OOMPolicy", "TasksMax"),
    *("ActiveEnterTimestamp", "InactiveEnterTimestamp", "InvocationID", "Restart", "RestartUSec", "TimeoutStartUSec"),
    *("ProtectHome", "ProtectSystem", "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "BindPaths"),
    *("BindReadOnlyPaths", "TemporaryFileSystem", "StateDirectory", "PrivateTmp", "PrivateDevices", "PrivateNetwork"),
    *("DevicePolicy", "DeviceAllow", "MemoryDenyWriteExecute", "SupplementaryGroups", "Environment"),
    *("EnvironmentFiles", "LimitNOFILE", "LimitMEMLOCK", "LimitAS", "LimitNPROC", "CPUQuotaPerSecUSec"),
    *("ManagedOOMMemoryPressure", "ManagedOOMSwap", "IPAddressDeny", "RestrictAddressFamilies"),
)


def asks(settings: Settings) -> list[Ask]:
    argv = ["systemctl", "show", places.UNIT, "--no-pager", f"--property={','.join(PROPERTIES)}"]
    found: list[Ask] = [{"id": "unit", "kind": "command", "argv": argv}]
    if settings.ollama_runtime == "systemd":
        found.append({"id": "unit-files", "kind": "unit_files", "unit": places.UNIT})
    return found


def parse(answers: Answers) -> Unit | None:
    properties = show(answers.out("unit"))
    return Unit(places.UNIT, properties) if properties.get("LoadState") else None


def parse_files(answers: Answers) -> tuple[UnitFile, ...]:
    """In the order in which systemd takes them, then the environment files."""
    rows = answers.get("unit-files").get("files")
    found = []
    for row in map(mapping, rows if isinstance(rows, list) else ()):
        path, kind, content = (text(row.get(name)) for name in ("path", "kind", "content"))
        if path and kind and content is not None:
            found.append(UnitFile(path, kind, content))
    return tuple(found)


def show(output: str | None) -> dict[str, str]:
    """`Name=value` lines; systemd never breaks a property over lines in this form."""
    rows = (line.partition("=") for line in (output or "").splitlines())
    return {name: value for name, mark, value in rows if mark and name.isidentifier()}
