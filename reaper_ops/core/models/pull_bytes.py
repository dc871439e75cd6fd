"""Bytes of one host's pulls, by what its server reports: what came over the network, and how far each model is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reaper_ops.core.models.pull_steps import Tally


class PullBytes:
    """A server reports each 60 ms, so the last line of a layer may be short of its end.

    A layer whose first line is its whole size was there already, and moved nothing.
    """

    def __init__(self) -> None:
        self._tally = Tally("", {})
        self._first: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def start(self, model: str, sizes: Mapping[str, int]) -> None:
        """A second start of a model is its pull, after its blobs were pushed."""
        if self._tally.model == model:
            self._before[model] = self._moved()
        self._tally, self._first, self._last = Tally(model, sizes), {}, {}

    def take(self, line: Mapping[str, Any]) -> None:
        """Every line, also those that nobody is shown."""
        layer, completed = line.get("digest"), line.get("completed") or 0
        if layer:
            self._first.setdefault(layer, completed)
            self._last[layer] = max(completed, self._first[layer])
        self._tally.take(line)

    def row(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """How far the model is, for whoever watches."""
        found: dict[str, Any] = self._tally.row(line)
        return found

    def moved(self, model: str, *, whole: bool) -> int:
        """Bytes that came over the network for the model; whole: all its layers are there by now."""
        if whole:
            there = {layer for layer, first in self._first.items() if first == self._tally.sizes.get(layer)}
            self._last.update({layer: size for layer, size in self._tally.sizes.items() if layer not in there})
        return self._moved() + self._before.get(model, 0)

    def _moved(self) -> int:
        return sum(last - self._first.get(layer, 0) for layer, last in self._last.items())
