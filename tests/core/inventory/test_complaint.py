"""What Ansible of several versions prints, as one sentence with its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reaper_ops.core.inventory import complaint
from reaper_ops.core.inventory.complaint import Complaint

OLD = """[WARNING]:  * Failed to parse /inv/hosts.yml with auto plugin: no root 'plugin' key found
[WARNING]:  * Failed to parse /inv/hosts.yml with yaml plugin: Invalid "hosts" entry for "all" group
[WARNING]:  * Failed to parse /inv/hosts.yml with ini plugin: Invalid host pattern 'all:' supplied
ERROR! Completely failed to parse inventory source /inv/hosts.yml
"""
NEW = """[WARNING]: Failed to parse inventory with 'auto' plugin: YAML parsing failed: While parsing a flow node.

<<< caused by >>>

YAML parsing failed: While parsing a flow node.
Origin: /inv/hosts.yml:6:1

[WARNING]: Failed to parse inventory with 'yaml' plugin: YAML parsing failed: While parsing a flow node.
[ERROR]: Completely failed to parse inventory source /inv/hosts.yml
"""
VAULT = """[WARNING]: Failed to parse inventory with 'yaml' plugin: Attempting to decrypt but no vault secrets found.
[ERROR]: Completely failed to parse inventory source /inv/hosts.yml
"""


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        (OLD, Complaint("/inv/hosts.yml", 'Invalid "hosts" entry for "all" group')),
        (NEW, Complaint("/inv/hosts.yml:6", "While parsing a flow node")),
        (VAULT, Complaint("/inv/hosts.yml", "is encrypted, and no vault password is given", complaint.VAULT_HINT)),
        ("[ERROR]: Unable to find limit file b'/x'\n", Complaint("--limit", "there is no file /x")),
        ("Traceback:\n  boom\n", Complaint("", "boom")),
        ("", Complaint("", "no message")),
    ],
)
def test_a_complaint_is_one_sentence_with_its_place(stderr, said):
    assert complaint.of_listing(stderr) == said


def test_patterns_that_match_nothing_are_named_once():
    line = "[WARNING]: Could not match supplied host pattern, ignoring: gpu9\n"
    assert complaint.unmatched(line + line) == ("gpu9",)


@given(st.text(max_size=200), st.sampled_from([OLD, NEW, VAULT, ""]))
def test_no_output_gives_a_traceback_or_two_lines(noise, known):
    said = complaint.of_listing(noise + known)
    assert said.problem
    assert "\n" not in said.problem


def test_a_host_without_python_is_told_what_to_install() -> None:
    said = "The module interpreter '/usr/bin/python3' was not found.: /bin/sh: 1: /usr/bin/python3: not found"
    assert complaint.of_host(said).startswith("there is no Python at /usr/bin/python3; install python3")
    assert complaint.of_host("no space left") == "no space left"
