"""The steps by which a host gets its models: one file for the host's own module and for the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reaper_ops import assets

if TYPE_CHECKING:
    from reaper_rules import bring as bring
    from reaper_rules import clear_leases as clear_leases
    from reaper_rules import delete as delete
    from reaper_rules import drop as drop
    from reaper_rules import is_lease as is_lease
    from reaper_rules import is_right as is_right
    from reaper_rules import listed as listed
    from reaper_rules import send as send
    from reaper_rules import unchanged as unchanged
    from reaper_steps import ENDED as ENDED
    from reaper_steps import Answer as Answer
    from reaper_steps import Ask as Ask
    from reaper_steps import Keep as Keep
    from reaper_steps import Look as Look
    from reaper_steps import Now as Now
    from reaper_steps import Pull as Pull
    from reaper_steps import Room as Room
    from reaper_steps import Row as Row
    from reaper_steps import Start as Start
    from reaper_steps import Step as Step
    from reaper_steps import Steps as Steps
    from reaper_steps import Stream as Stream
    from reaper_steps import Tell as Tell
    from reaper_steps import Trouble as Trouble
    from reaper_steps import Wait as Wait
    from reaper_steps import advice as advice
    from reaper_steps import digest_of as digest_of
    from reaper_steps import gone as gone
    from reaper_steps import pull_body as pull_body
    from reaper_steps import said as said
    from reaper_steps import walk as walk
    from reaper_tally import Tally as Tally
else:
    for _module in ("reaper_tally", "reaper_steps", "reaper_rules"):
        globals().update({name: one for name, one in vars(assets.shared(_module)).items() if name[0] != "_"})
