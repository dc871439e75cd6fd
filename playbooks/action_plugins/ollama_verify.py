# GNU General Public License v3.0 or later (see playbooks/COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module ollama_verify in the background on the host and shows its progress as it goes."""

from __future__ import annotations

from ansible.plugins.loader import action_loader

Background = action_loader.get("ollama_pull", class_only=True)


class ActionModule(Background):
    module = "ollama_verify"
    kept = ("store", "unnamed", "unfinished", "bytes", "seconds", "idle")

    def needless(self, args):
        return False
