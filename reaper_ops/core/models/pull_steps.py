"""The steps by which a host gets its models: one file for the host's own module and for the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reaper_ops import assets

if TYPE_CHECKING:
    from reaper_rules import ENDED as ENDED
    from reaper_rules import Answer as Answer
    from reaper_rules import Ask as Ask
    from reaper_rules import Keep as Keep
    from reaper_rules import Look as Look
    from reaper_rules import Now as Now
    from reaper_rules import Pull as Pull
    from reaper_rules import Room as Room
    from reaper_rules import Row as Row
    from reaper_rules import Start as Start
    from reaper_rules import Step as Step
    from reaper_rules import Steps as Steps
    from reaper_rules import Stream as Stream
    from reaper_rules import Tell as Tell
    from reaper_rules import Trouble as Trouble
    from reaper_rules import Wait as Wait
    from reaper_rules import advice as advice
    from reaper_rules import bring as bring
    from reaper_rules import clear_leases as clear_leases
    from reaper_rules import delete as delete
    from reaper_rules import digest_of as digest_of
    from reaper_rules import drop as drop
    from reaper_rules import gone as gone
    from reaper_rules import is_lease as is_lease
    from reaper_rules import is_right as is_right
    from reaper_rules import listed as listed
    from reaper_rules import pull_body as pull_body
    from reaper_rules import said as said
    from reaper_rules import send as send
    from reaper_rules import unchanged as unchanged
    from reaper_rules import walk as walk
    from reaper_tally import Tally as Tally
else:
    for _module in ("reaper_tally", "reaper_rules"):
        globals().update({name: one for name, one in vars(assets.shared(_module)).items() if name[0] != "_"})
