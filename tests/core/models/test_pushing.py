"""A push, step by step: what is sent when."""

from __future__ import annotations

import json
from typing import Any

from reaper_ops.core.models import pull_steps as rules
from reaper_ops.core.models import push as pushing
from reaper_ops.core.models.push import PushRequest

OLD, NEW, SHARED = "0" * 64, "1" * 64, "sha256:" + "a" * 64


class Server:
    """Has a blob as long as a model has it; an old version of `first` is the only one that has the shared one."""

    def __init__(self) -> None:
        self.models, self.told = {"first:1": OLD}, list[str]()

    def __call__(self, step: Any) -> Any:
        if isinstance(step, rules.Pull):
            return self.pull(step.name)
        if isinstance(step, pushing.Upload):
            self.told.append("sent")
            return rules.Answer(201, "")
        if isinstance(step, rules.Ask):
            return self.answer(step)
        return {"bytes": 0} if isinstance(step, rules.Room) else (NEW, {}) if isinstance(step, rules.Look) else 0.0

    def pull(self, name: str) -> str:
        if name.endswith(pushing.HELLO):
            return "pull model manifest: file does not exist"
        self.models[name] = NEW
        return ""

    def answer(self, step: Any) -> Any:
        if step.path == "/api/copy":
            self.models[step.body["destination"]] = self.models[step.body["source"]]
        elif step.path == "/api/delete":
            self.models.pop(step.body["model"])
        elif step.method == "HEAD":
            return rules.Answer(200 if OLD in self.models.values() else 404, "")
        rows = [{"name": name, "digest": digest} for name, digest in self.models.items()]
        return rules.Answer(200, json.dumps({"models": rows}))


def test_a_blob_that_leaves_with_an_old_version_is_sent_for_the_next_model() -> None:
    server, rows = Server(), list[dict[str, Any]]()
    entry = {"digest": f"sha256:{NEW}", "blobs": {SHARED: 1}}
    models = ["first:1", "second:1"]
    push = PushRequest("10.0.0.9:4000", {SHARED: "/x"})
    params = {"url": "u", "models": models, "again": False, "locked": dict.fromkeys(models, entry), "retries": 0}
    given = push.params({**params, "insecure_registries": [], "stall_timeout": 9, "verify_timeout": 9})
    assert rules.walk(pushing.deliver(given, rows, push), server) is True
    assert [row["error"] for row in rows] == ["", ""]
    assert server.models == dict.fromkeys(models, NEW)
    assert server.told == ["sent"], "the old version had it when the first was pushed, and nobody after that"
