"""reaper_read of the server's surroundings: who holds the port, the unit's files in order, the way to the models."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from .conftest import Module

READ = Module("reaper_read")


def read(root: Path | None = None, **ask: Any) -> dict[str, Any]:
    answer: dict[str, Any] = READ(asks=[{"id": "a", **ask}], **({"root": str(root)} if root else {}))["answers"]["a"]
    return answer


def test_a_socket_on_the_port_is_named_with_its_process() -> None:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        own.listen()
        (row,) = read(kind="port", port=own.getsockname()[1], bind="127.0.0.1")["rows"]
    assert (row["address"], row["pid"], row["ours"]) == ("127.0.0.1", os.getpid(), False)


@pytest.mark.parametrize(("only_six", "taken"), [(1, True), (0, False)])
def test_a_socket_for_ipv6_alone_leaves_the_port_of_ipv4(only_six: int, taken: bool) -> None:
    with socket.socket(socket.AF_INET6) as other:
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_six)
        try:
            other.bind(("::", 0))
        except OSError:
            pytest.skip("no IPv6 here")
        other.listen()
        answer = read(kind="port", port=other.getsockname()[1], bind="127.0.0.1")
    assert (answer["taken"] == 0) is taken


def test_a_socket_beside_one_for_ipv4_is_for_ipv6_alone() -> None:
    """As once our own server runs: nothing can be tried then, and the other is in nobody's way still."""
    with socket.socket(socket.AF_INET6) as other, socket.socket() as own:
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            other.bind(("::", 0))
        except OSError:
            pytest.skip("no IPv6 here")
        other.listen()
        port = other.getsockname()[1]
        own.bind(("127.0.0.1", port))
        own.listen()
        answer = read(kind="port", port=port, bind="127.0.0.1")
        with socket.socket(socket.AF_INET6) as both:
            both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            with pytest.raises(OSError, match="in use"):
                both.bind(("::", port))
    assert answer["taken"] == 0


def test_the_files_of_a_unit_come_in_the_order_in_which_systemd_takes_them(tmp_path: Path) -> None:
    texts = {
        "etc/systemd/system/ollama.service": "[Service]\nEnvironmentFile=-/etc/default/ollama /etc/none\n",
        "etc/systemd/system/ollama.service.d/zz-reaper_ops.conf": "ours",
        "etc/systemd/system/ollama.service.d/override.conf": "theirs",
        "run/systemd/system/ollama.service.d/50-run.conf": "run",
        "run/systemd/system/ollama.service.d/override.conf": "hidden by the one in /etc",
        "etc/systemd/system/service.d/90-all.conf": "every service",
        "etc/default/ollama": "OLLAMA_HOST=0.0.0.0\nHTTPS_PROXY=http://me:secret@proxy\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    files = read(tmp_path, kind="unit_files", unit="ollama.service")["files"]
    names = [(row["kind"], row["path"].rsplit("/", 1)[1]) for row in files]
    assert names[:5] == [
        ("unit", "ollama.service"),
        ("drop-in", "50-run.conf"),
        ("drop-in", "90-all.conf"),
        ("drop-in", "override.conf"),
        ("drop-in", "zz-reaper_ops.conf"),
    ]
    assert files[3]["content"] == "theirs"
    assert "secret" not in str(files)


def test_the_way_to_the_models_is_told_step_by_step(tmp_path: Path) -> None:
    (tmp_path / "models/lost+found").mkdir(parents=True)
    (tmp_path / "models").chmod(0o750)
    found = read(kind="place", path=str(tmp_path / "models"), user="nobody")
    assert (found["exists"], found["entries"]) == (True, 0)
    assert (found["steps"][0]["path"], found["steps"][-1]["mode"]) == ("/", "0750")
    missing = read(kind="place", path=str(tmp_path / "none/models"), user="nobody")
    assert (missing["exists"], missing["steps"][-1]["path"]) == (False, str(tmp_path))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can try as another user")
def test_what_a_user_is_refused_was_tried(tmp_path: Path) -> None:
    (tmp_path / "closed/models").mkdir(parents=True)
    tmp_path.chmod(0o755)
    (tmp_path / "closed").chmod(0o700)
    found = read(kind="place", path=str(tmp_path / "closed/models"), user="nobody")
    assert str(tmp_path / "closed") in found["denied"]
