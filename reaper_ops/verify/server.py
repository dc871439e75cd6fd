"""The running server as a check sees it, whatever runs it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from reaper_ops.verify.expected import CONTAINER, Expected

ASK = """
import json, sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(json.dumps({path: json.load(opener.open(sys.argv[1] + path, timeout=20)) for path in sys.argv[2:]}))
"""


@dataclass(frozen=True)
class CheckedServer:
    """host: a testinfra host."""

    host: Any
    expected: Expected

    def api(self, path: str) -> Any:
        """The answer of the API, asked on the host itself."""
        done = self.host.run("python3 -c %s %s %s", ASK, self.expected.url, path)
        assert done.rc == 0, f"{self.expected.url}{path} does not answer: {_last_line(done.stderr)}"
        return json.loads(done.stdout)[path]

    def show(self, *properties: str) -> dict[str, str]:
        """Properties of the unit as systemd uses them."""
        text = self.host.check_output("systemctl show ollama.service -p %s", ",".join(properties))
        return dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)

    def container(self) -> dict[str, Any]:
        done = self.host.run("docker inspect --type container %s", CONTAINER)
        assert done.rc == 0, f"there is no container {CONTAINER}: {_last_line(done.stderr)}"
        found: dict[str, Any] = json.loads(done.stdout)[0]
        return found

    def pid(self) -> int:
        """The server's process on the host; 0 when there is none."""
        if self.expected.runtime == "docker":
            return int(self.container()["State"]["Pid"])
        if self.expected.runtime == "systemd":
            return int(self.show("MainPID")["MainPID"])
        done = self.host.run("cat %s/ollama.pid", self.home())
        return int(done.stdout) if done.rc == 0 and done.stdout.strip().isdigit() else 0

    def environment(self) -> dict[str, str]:
        number = self.pid()
        assert number, "the server does not run"
        text = self.host.check_output("tr '\\0' '\\n' < /proc/%s/environ", str(number))
        return dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)

    def home(self) -> str:
        return self.expected.process_home(str(self.host.user().home))

    def store(self) -> str:
        """The model store as a path of the host."""
        if self.expected["ollama_models_dir"]:
            return str(self.expected["ollama_models_dir"])
        if self.expected.runtime == "docker":
            mounts = self.container()["Mounts"]
            volume: str = next(mount["Source"] for mount in mounts if mount["Destination"] == "/root/.ollama")
            return f"{volume}/models"
        return self.environment()["OLLAMA_MODELS"]

    def log(self) -> str:
        if self.expected.runtime == "docker":
            done = self.host.run("docker logs --tail 5000 %s", CONTAINER)
            return str(done.stdout + done.stderr)
        if self.expected.runtime == "systemd":
            return str(self.host.check_output("journalctl -u ollama.service -o cat --no-pager -n 5000"))
        return str(self.host.check_output("tail -n 5000 %s/ollama.log", self.home()))


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]
