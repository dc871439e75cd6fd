"""What the routes of the simulated server share: its store, its downloads, its runners, its faults."""

from __future__ import annotations

import platform
import threading

from . import gguf
from .config import Config
from .download import Downloads
from .faults import Faults
from .names import parse
from .sched import Scheduler
from .store import LabModel, LabStore, StoreError, go_error


class ApiError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class App:
    def __init__(self, config: Config, version: str, program: str) -> None:
        self.config = config
        self.version = version
        self.agent = f"ollama/{version} ({platform.machine()} linux) simulated"
        self.faults = Faults(config.faults)
        self.store = LabStore(config.models)
        self.downloads = Downloads(self.store, self.faults)
        self.scheduler = Scheduler(config, self.store, self.faults, program)
        self._blind: set[str] = set()
        self._seen: set[str] = set()
        self._guard = threading.Lock()

    def find(self, text: str) -> LabModel:
        name = parse(text)
        missing = ApiError(404, f"model '{text}' not found")
        if not name:
            raise missing
        try:
            return self.store.model(self.store.existing(name))
        except StoreError as error:
            raise ApiError(500, str(error)) from None
        except FileNotFoundError:
            raise missing from None
        except OSError as error:
            raise ApiError(500, str(go_error("open", str(error.filename), error))) from None

    def capable(self, model: LabModel, text: str, verb: str) -> None:
        """What a model can do is read once per name: a name found without weights stays refused until a restart."""
        refusal = ApiError(400, f'"{text}" does not support {verb}')
        with self._guard:
            if model.name.full in self._blind:
                raise refusal
            seen = model.name.full in self._seen
            try:
                self.store.header(model)
            except FileNotFoundError:
                if seen:
                    raise ApiError(404, f'model "{text}" not found, try pulling it first') from None
                self._blind.add(model.name.full)
                raise refusal from None
            except (OSError, gguf.BadFile) as error:
                if seen:
                    raise ApiError(500, str(error)) from None
                self._blind.add(model.name.full)
                raise refusal from None
            self._seen.add(model.name.full)
