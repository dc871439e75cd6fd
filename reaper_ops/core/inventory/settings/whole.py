"""The settings of a host, checked together."""

from __future__ import annotations

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from reaper_ops.core.inventory.settings import combinations
from reaper_ops.core.inventory.settings.model import SettingsFields


class Settings(SettingsFields):
    @model_validator(mode="after")
    def _combinations(self) -> Settings:
        found = combinations.problems(self)
        if found:
            text = "; ".join(f"{setting}: {problem}" for setting, problem in found)
            raise PydanticCustomError("combination", "{text}", {"text": text, "found": found})
        return self

    def models(self) -> tuple[str, ...]:
        """``ollama_models`` with sets resolved, in order, each name once."""
        return combinations.expand(self.ollama_models, self.ollama_model_sets)
