"""The end of a fleet's life: `down` gives every host back as it was. Runs after all other tests of hosts."""

import json

from fleet.command import Answer, reaper
from fleet.residue import Tree, tree
from fleet.world import MACHINE, Fleet


def test_down_leaves_no_residue(fleet: Fleet, bare: dict[str, Tree], walk: tuple[Tree, Answer], second: Answer) -> None:
    before = {**bare, MACHINE: walk[0]}
    answer = reaper(fleet.inventory, "down", "--yes", "--purge-models")
    assert answer.rc == 0, answer.stdout + answer.stderr
    left = {host.name: tree(host).differences(before[host.name]) for host in fleet.hosts()}
    assert left == {name: [] for name in left}, json.dumps(left, indent=1)
