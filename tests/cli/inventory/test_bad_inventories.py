"""One bad inventory per mistake: one line that names the place, exit code 2, and no host is contacted.

``bad/settings/`` holds mistakes in one setting of one host, with the expected line on top; they are read in one run.
Each other case is a run of its own; ``…`` in its expected line stands for words of Ansible.
"""

from __future__ import annotations

import re

import pytest
from cli_cases import INVENTORIES, ROOT, argv, names

from reaper_ops.cli.program import run

SETTINGS = sorted((INVENTORIES / "bad" / "settings").iterdir())
ALONE = [name for name in names("bad") if name != "settings"]


@pytest.fixture(scope="module")
def told(request) -> dict[str, str]:
    """What a run over all of bad/settings says, by host; each host is named as its case."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        capture = request.config.pluginmanager.getplugin("capturemanager")
        capture.read_global_capture()
        code = run(["hosts", *(word for path in SETTINGS for word in ("-i", str(path.relative_to(ROOT))))])
        said = capture.read_global_capture()
    assert (code, said.out) == (2, "")
    lines = [line.removeprefix("error: ") for line in said.err.splitlines()]
    return {line.partition("/")[0]: line for line in lines}


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.stem)
def test_a_wrong_setting_is_told_with_host_and_setting(path, told):
    assert told.pop(path.stem, "nothing") == path.read_text().splitlines()[0].removeprefix("# ")


@pytest.mark.parametrize("name", ALONE)
def test_a_mistake_is_told_in_one_line(name, capfd, monkeypatch, no_ssh):
    monkeypatch.chdir(ROOT)
    code = run(["hosts", *argv("bad", name)])
    said = capfd.readouterr()
    expected = (INVENTORIES / "bad" / f"{name}.error").read_text()
    assert (code, said.out) == (2, "")
    assert re.fullmatch(re.escape(expected).replace("…", ".*"), said.err), said.err
    assert not no_ssh.exists()


@pytest.mark.parametrize("name", ALONE)
def test_the_expected_words_are_one_line_each(name):
    expected = (INVENTORIES / "bad" / f"{name}.error").read_text()
    assert expected.count("\n") == (2 if name == "two-mistakes" else 1)
    assert all(re.match(r"error: [^ ]+: .", line) for line in expected.splitlines())
