#!/usr/bin/python
"""Brings the wanted models to the host's own server, one after the other, and proves each by its digest."""

from __future__ import annotations

import http.client
import json
import os
import re
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.reaper_alone import alone
from ansible.module_utils.reaper_files import Trouble, read_json, write_atomic
from ansible.module_utils.reaper_models import copy, delete, digest_of, listed, request, said
from ansible.module_utils.reaper_partials import discard_damaged
from ansible.module_utils.reaper_progress import Progress, Stopped
from ansible.module_utils.reaper_registry import free_space, manifest, missing, same_name, split_name

DOCUMENTATION = r"""
module: ollama_pull
short_description: Pull models into a running Ollama server
description:
  - Models that the server lists are left alone. For each other one the free space is compared with the
    registry's manifest first; then it is pulled with retries, and its digest compared with the manifest.
  - A model in O(locked) must have that digest. A tag that is something else by now is an error before a byte is
    fetched, and a model of another digest is pulled again.
  - A model in O(sources) is pulled under that name, given its own by a copy, and the other name is taken away.
options:
  models: {description: Names with tags., type: list, elements: str, required: true}
  again: {description: Ask for models that are listed too; what is whole is not fetched., type: bool, default: false}
  locked: {description: Digest and blobs (with their sizes) of models by name., type: dict, default: {}}
  sources: {description: The name of a model at a mirror by its own name., type: dict, default: {}}
  lock_file: {description: File that keeps a second pull away while this one runs., type: path}
  owner: {description: Who runs this; told to whom the lock file keeps away., type: str, default: ""}
  url: {description: The host's own server., type: str, default: "http://127.0.0.1:11434", aliases: [base_url]}
  models_dir: {description: The server's model store; without it the space is not checked., type: path}
  insecure_registries: {description: Registries asked over plain HTTP., type: list, elements: str, default: []}
  proxy: {description: Proxy to the registry., type: str, aliases: [https_proxy]}
  no_proxy: {description: Hosts reached without the proxy., type: list, elements: str, default: []}
  progress_file: {description: Snapshot of the progress while the module runs., type: path}
  record: {description: JSON file that keeps how the last pull of each model ended., type: path}
  heartbeat: {description: File that the caller touches; the pull ends when it grows old., type: path}
  retries: {description: Further attempts for each model., type: int, default: 4}
  stall_timeout: {description: Seconds without a new byte before a new attempt., type: int, default: 75}
  verify_timeout: {description: Seconds the server may take to hash a download., type: int, default: 3600}
  min_free: {description: Bytes that must stay free., type: int, default: 1073741824}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: The models are there
  ollama_pull:
    models: ["llama3:8b"]
    models_dir: /var/lib/ollama/models
"""
RETURN = r"""
models:
  description: One row for each wanted model; name, changed, digest, bytes, attempts, error, next_step, notes.
  type: list
  elements: dict
  returned: always
"""
CAUSES = (
    (r"file does not exist|invalid model name", False, "check the name of the model and its tag"),
    (r"no space left on device", False, "free space in the model store, or set ollama_models_dir"),
    (r"permission denied|read-only file", False, "let the server's user write to the model store"),
    (r"\b412\b|newer version", False, "raise ollama_version: the model needs a newer server"),
    (r"unauthorized|\b40[13]\b|realm host", False, "the registry wants credentials that the server lacks"),
    (r"x509|tls:", False, "add the registry's certificate authority to the host's trust store"),
    (r'Get "https://.*EOF', False, "a registry without TLS belongs into ollama_insecure_registries"),
    (r"digest mismatch", True, "the registry or a proxy sends damaged data; look at it, then run again"),
    (r"\b429\b|too many", True, "the registry limits us; run again later"),
    (r"lookup|dial tcp|proxyconnect|timeout", True, "check DNS, the network and ollama_https_proxy on the host"),
    (r"answer no longer|cannot be reached", True, "see why the server ended: its log, and `reaper-ops probe`"),
)
OTHERWISE = (True, "run again: what was downloaded is kept")


def advice(error):
    """Whether another attempt can help, and the next step for a person."""
    for pattern, again, step in CAUSES:
        if re.search(pattern, error, re.IGNORECASE):
            return again, step
    return OTHERWISE


class Stream:
    """Judges the lines of one pull: an error in them is an error, and only `success` is success."""

    def __init__(self, progress, params):
        self.progress, self.params = progress, params
        self.mark, self.since, self.error, self.success = None, time.monotonic(), "", False

    def patience(self):
        """Seconds to wait for the next line: hashing is silent, downloading is not."""
        status = self.mark[0] if self.mark else ""
        downloads = not status or status.startswith("pulling")
        return self.params["stall_timeout"] if downloads else self.params["verify_timeout"]

    def line(self, text):
        try:
            line = json.loads(text)
        except ValueError:
            line = {"error": "the server sends a line that is not JSON: %s" % text[:200]}
        if not isinstance(line, dict):
            line = {"error": "the server sends an unexpected line: %s" % text[:200]}
        self.error = str(line.get("error") or "")
        self.success = line.get("status") == "success"
        mark = (str(line.get("status", "")), line.get("completed"))
        now = time.monotonic()
        if mark != self.mark:
            self.mark, self.since = mark, now
        elif now - self.since > self.patience():
            self.error = self.stalled()
        self.progress.event(line)

    def stalled(self):
        return "stalled: no new byte for %d s (%s)" % (self.patience(), self.mark[0] if self.mark else "no answer")


def pull_once(name, params, progress):
    """Empty on success, else what went wrong."""
    insecure = split_name(name)[0] in params["insecure_registries"]
    body = {"model": name, "insecure": insecure, "stream": True}
    stream = Stream(progress, params)
    try:
        with request(params["url"], "POST", "/api/pull", body, params["stall_timeout"]) as (answer, socket):
            if answer.status != 200:
                return said(answer)
            for raw in iter(answer.readline, b""):
                if raw.strip():
                    stream.line(raw.decode("utf-8", "replace"))
                if stream.error or stream.success:
                    return stream.error
                socket.settimeout(stream.patience())
    except TimeoutError:
        return stream.stalled()
    except (OSError, http.client.HTTPException) as error:
        if "timed out" in str(error):
            return stream.stalled()
        return "%s: the server does answer no longer: %r" % (params["url"], error)
    return "the server ended its answer without success; it does answer no longer or was restarted"


def gigabytes(count):
    return "%.1f GB" % (count / 1e9)


def ask(name, params, row):
    """Digest and sizes from the registry, or a note; fails the row for what cannot work."""
    proxy = (params["insecure_registries"], params["proxy"], params["no_proxy"])
    try:
        return manifest(name, *proxy)
    except LookupError as error:
        row.update(error=str(error), next_step=CAUSES[0][2])
    except Trouble as trouble:
        row["notes"].append("not compared with the registry beforehand: %s" % trouble)
    return None, {}


def need_room(name, sizes, params, row):
    """Fails the row where the missing bytes do not fit."""
    if not params["models_dir"]:
        row["bytes"] = sum(sizes.values())
        return
    row["bytes"] = missing(sizes, params["models_dir"])
    free = free_space(params["models_dir"])
    if sizes and row["bytes"] + params["min_free"] > free:
        numbers = (gigabytes(row["bytes"]), gigabytes(params["min_free"]), params["models_dir"], gigabytes(free))
        row["error"] = "%s needs %s and %s must stay free, but %s has only %s" % (name, *numbers)
        row["next_step"] = CAUSES[1][2]


def look_up(name, params, row):
    """What the model shall be: by the lock, else by the registry; None where neither says."""
    source, promised = params["sources"].get(name, name), params["locked"].get(name)
    digest, sizes = ask(source, params, row)
    if promised and not row["error"]:
        wanted = promised["digest"].rpartition(":")[2]
        if digest and digest != wanted:
            row["error"] = "%s is not what was locked: the lock has %s, there is %s" % (
                source,
                wanted[:12],
                digest[:12],
            )
            row["next_step"] = "the tag has moved: `reaper-ops models update` lets the lock follow"
        digest, sizes = wanted, promised["blobs"]
    if not row["error"]:
        again = discard_damaged(sizes, params["models_dir"]) if params["models_dir"] else []
        row["notes"] += ["%s is fetched from its start: a kill damaged its notes" % one[:19] for one in again]
        need_room(name, sizes, params, row)
    return digest, sizes


def attempt_all(name, params, progress, row):
    """Pulls until it works, the error is of the lasting kind, or the attempts are used up."""
    while True:
        row["attempts"] += 1
        row["error"] = pull_once(name, params, progress)
        again, row["next_step"] = advice(row["error"]) if row["error"] else (False, "")
        if not again or row["attempts"] > params["retries"]:
            return
        pause = min(2 ** row["attempts"], 60)
        progress.event({"status": "waiting %d s after: %s" % (pause, row["error"])}, force=True)
        time.sleep(pause)


def prove(name, params, expected, row):
    """Compares the server's digest with what is expected; an unlocked tag that moved meanwhile is looked up again."""
    row["digest"] = digest_of(name, listed(params["url"])) or ""
    if not row["digest"]:
        row.update(error="%s was pulled but is not listed" % name, next_step="see the server's log")
    elif expected and row["digest"] != expected:
        again = None if name in params["locked"] else ask(name, params, {"notes": []})[0]
        if again != row["digest"]:
            row["error"] = "digest is %s, the manifest that was asked for has %s" % (row["digest"][:12], expected[:12])
            row["next_step"] = "a mirror or proxy serves another manifest; compare them, then pull again"
    elif not expected:
        row["notes"].append("digest not compared: the registry could not be asked from the host")


def retired(source):
    """Name for the version that is replaced, until its blobs can go."""
    return source.rpartition(":")[0] + ":reaper-ops-old"


def rename(name, source, params):
    """From the mirror's name to the model's own. A version that was there before leaves with its blobs."""
    url, old = params["url"], retired(source)
    if digest_of(name, listed(url)) is not None:
        copy(url, name, old)
    copy(url, source, name)
    tidy(name, source, params)


def tidy(name, source, params):
    """Takes names away that only served the pull, also those of a pull that was killed."""
    if source == name:
        return False
    spare = [one for one in listed(params["url"]) if any(same_name(one, other) for other in (source, retired(source)))]
    spare = [one for one in spare if not any(same_name(one, other) for other in params["models"])]
    for one in spare:
        delete(params["url"], one)
    return bool(spare)


def finish(name, source, params, expected, row):
    """Proves what was pulled, and gives it its own name only then."""
    prove(source, dict(params, locked={source: 1} if name in params["locked"] else {}), expected, row)
    if row["error"]:
        tidy(name, source, params)
    elif source != name:
        rename(name, source, params)
        prove(name, params, expected, row)


def pull(name, params, progress):
    row = dict(unchanged(name, ""), bytes=0)
    expected, sizes = look_up(name, params, row)
    if row["error"]:
        return row
    source = params["sources"].get(name, name)
    progress.model_starts(name, sizes, params["models_dir"])
    started = time.monotonic()
    attempt_all(source, params, progress, row)
    row["seconds"] = round(time.monotonic() - started, 2)
    if not row["error"]:
        progress.event({"status": "naming"}, force=True)
        row["changed"] = True
        try:
            finish(name, source, params, expected, row)
        except Trouble as trouble:
            row.update(error=str(trouble), next_step=CAUSES[-1][2])
    return row


def is_right(name, digest, params):
    """A server lists a model whose blobs are damaged or gone, so `again` takes no list for a proof."""
    if params["again"]:
        return False
    promised = params["locked"].get(name)
    return digest is not None and (not promised or promised["digest"].rpartition(":")[2] == digest)


def unchanged(name, digest):
    row = {"name": name, "changed": False, "digest": digest, "bytes": 0, "attempts": 0, "seconds": 0}
    return dict(row, error="", next_step="", notes=[])


def keep(path, row):
    """How the pull of a model ended, for a later diagnosis; a full disk costs only that."""
    if not path or not os.path.isdir(os.path.dirname(path)):
        return
    before = read_json(path)
    rows = before if isinstance(before, dict) else {}
    known = rows.get(row["name"])
    digest = known.get("digest", "") if row["error"] and isinstance(known, dict) else row["digest"]
    rows[row["name"]] = {"error": row["error"][:1000], "time": int(time.time()), "digest": digest}
    if not row["error"]:
        rows[row["name"]].update(bytes=row["bytes"], seconds=row["seconds"])
    try:
        write_atomic(path, json.dumps(rows, indent=1, sort_keys=True) + "\n", 0o600)
    except OSError as error:
        row["notes"].append("%s cannot be written: %s" % (path, error))


def bring(module):
    """Rows of all wanted models, in their order."""
    params = module.params
    try:
        have = listed(params["url"])
    except Trouble:
        if not module.check_mode:
            raise
        have = {}
    progress = Progress(params)
    rows = []
    try:
        for name in dict.fromkeys(params["models"]):
            digest = digest_of(name, have)
            if is_right(name, digest, params):
                rows.append(unchanged(name, digest))
                rows[-1]["changed"] = not module.check_mode and tidy(name, params["sources"].get(name, name), params)
            elif module.check_mode:
                rows.append(dict(unchanged(name, ""), changed=True))
            else:
                rows.append(pull(name, params, progress))
                keep(params["record"], rows[-1])
    finally:
        progress.end()
    return rows


def main():
    words = {"type": "list", "elements": "str", "default": []}
    spec = {
        "models": {"type": "list", "elements": "str", "required": True},
        "again": {"type": "bool", "default": False},
        "url": {"type": "str", "default": "http://127.0.0.1:11434", "aliases": ["base_url"]},
        "models_dir": {"type": "path"},
        "locked": {"type": "dict", "default": {}},
        "sources": {"type": "dict", "default": {}},
        "lock_file": {"type": "path"},
        "owner": {"type": "str", "default": ""},
        "insecure_registries": words,
        "proxy": {"type": "str", "aliases": ["https_proxy"]},
        "no_proxy": words,
        "progress_file": {"type": "path"},
        "record": {"type": "path"},
        "heartbeat": {"type": "path"},
        "retries": {"type": "int", "default": 4},
        "stall_timeout": {"type": "int", "default": 75},
        "verify_timeout": {"type": "int", "default": 3600},
        "min_free": {"type": "int", "default": 1 << 30},
    }
    module = AnsibleModule(spec, supports_check_mode=True)
    module.params["url"] = module.params["url"].rstrip("/")
    try:
        with alone(None if module.check_mode else module.params["lock_file"], module.params["owner"]):
            rows = bring(module)
    except Trouble as trouble:
        step = "" if "another pull" in str(trouble) else "; " + CAUSES[-1][2]
        module.fail_json(msg="%s%s" % (trouble, step), models=[])
    except Stopped:
        module.fail_json(msg="the controller is gone; what was downloaded stays, run again", models=[])
    failed = [row for row in rows if row["error"]]
    pulled = [row["name"] for row in rows if row["changed"]]
    known = [row["name"] for row in rows if not row["changed"] and not row["error"]]
    answer = {"models": rows, "changed": bool(pulled)}
    after = "".join(name + "\n" for name in sorted(known + pulled))
    answer["diff"] = {"before": "".join(name + "\n" for name in sorted(known)), "after": after}
    if failed:
        lines = ["%s: %s; %s" % (row["name"], row["error"], row["next_step"]) for row in failed]
        module.fail_json(msg="%d of %d models failed: %s" % (len(failed), len(rows), " | ".join(lines)), **answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
