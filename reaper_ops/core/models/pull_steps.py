"""The steps by which a host gets its models: one file for the host's own module and for the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reaper_ops import assets

if TYPE_CHECKING:
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import bring as bring
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import clear_leases as clear_leases
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import delete as delete
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import drop as drop
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import is_lease as is_lease
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import is_right as is_right
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import listed as listed
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import send as send
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import unchanged as unchanged
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import ENDED as ENDED
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import Answer as Answer
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import Ask as Ask
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import Keep as Keep
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import Known as Known
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import Look as Look
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import Now as Now
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import Pull as Pull
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import Room as Room
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import Row as Row
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import Start as Start
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import Step as Step
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import Steps as Steps
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import Stream as Stream
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import Tell as Tell
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import Trouble as Trouble
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import Wait as Wait
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import advice as advice
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import digest_of as digest_of
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import gone as gone
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import pull_body as pull_body
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import said as said
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_steps import walk as walk
    from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_tally import Tally as Tally
else:
    for _module in ("reaper_tally", "reaper_steps", "reaper_rules"):
        globals().update({name: one for name, one in vars(assets.shared(_module)).items() if name[0] != "_"})
