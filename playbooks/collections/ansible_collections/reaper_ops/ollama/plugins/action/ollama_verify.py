# GNU General Public License v3.0 or later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module ollama_verify in the background on the host and shows its progress as it goes."""

from __future__ import annotations

from ansible_collections.reaper_ops.ollama.plugins.action.ollama_pull import ActionModule as Background


class ActionModule(Background):
    module = "reaper_ops.ollama.ollama_verify"
    kept = ("store", "unnamed", "unfinished", "bytes", "seconds", "idle")

    def needless(self, args):
        return False
