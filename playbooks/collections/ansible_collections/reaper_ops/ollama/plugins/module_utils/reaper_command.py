"""Commands with limits of time and size, and the server process that we manage."""

import os
import re
import selectors
import shutil
import subprocess
import time

from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_host import (
    MAX_BYTES,
    beside,
    chosen,
    contents,
    kill,
    reason,
    redact,
    redact_words,
)

SAFE_ENV = re.compile(
    r"^(OLLAMA_|REAPER_OPS_|LLAMA_ARG_|CUDA_|ROCR_|HIP_|HSA_|GGML_|NVIDIA_(VISIBLE|DRIVER)_|GPU_DEVICE_ORDINAL$|HOME$"
    r"|(HTTPS?|NO|ALL)_PROXY$)",
    re.IGNORECASE,
)
STATUS = ("Name", "State", "Uid", "Gid", "Groups", "VmRSS", "Threads")


def run_command(host, ask):
    argv = [str(word) for word in ask["argv"]]
    program = host.place(argv[0]) if "/" in argv[0] else shutil.which(argv[0], path=host.path)
    if not program or not os.path.exists(program):
        return {"missing": True}
    limit, tail = int(ask.get("max_bytes", MAX_BYTES)), bool(ask.get("tail"))
    process = subprocess.Popen(
        [program, *argv[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=host.env,
        cwd="/",
        start_new_session=True,
    )
    host.running.add(process)
    try:
        out, err, cut, ended = drain(process, time.monotonic() + host.left(ask.get("timeout", 8)), limit, tail)
    finally:
        host.running.discard(process)
    return {
        "rc": process.returncode,
        "stdout": chosen(ask, out),
        "stderr": chosen(ask, err) if process.returncode == 0 else redact(err.decode("utf-8", "replace")),
        "truncated": cut,
        "timed_out": not ended,
    }


def drain(process, deadline, limit, tail):
    """Reads both pipes to their end or the deadline; keeps at most `limit` bytes of each, then ends the process."""
    kept = {process.stdout: bytearray(), process.stderr: bytearray()}
    cut = False
    with selectors.DefaultSelector() as selector:
        for pipe in kept:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map() and time.monotonic() < deadline:
            for key, _events in selector.select(max(0.01, deadline - time.monotonic())):
                chunk, buffer = os.read(key.fd, 65536), kept[key.fileobj]
                if not chunk:
                    selector.unregister(key.fileobj)
                buffer += chunk if tail else chunk[: max(0, limit - len(buffer))]
                cut = cut or len(buffer) > limit or (len(buffer) == limit and bool(chunk))
                if len(buffer) > limit:
                    del buffer[:-limit]
    ended = finished(process, max(0.05, deadline - time.monotonic()))
    if not ended:
        kill(process)
        finished(process, 0.5)
    out, err = (bytes(kept[pipe]) for pipe in (process.stdout, process.stderr))
    process.stdout.close()
    process.stderr.close()
    return out, err, cut, ended


def finished(process, seconds):
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def read_process(host, ask):
    pid = pid_of(host, ask)
    if not pid:
        return {"found": False}
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as handle:
            argv = handle.read().decode("utf-8", "replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return {"found": False}
    if "name" in ask and ask["name"] not in [os.path.basename(word) for word in argv[:3]]:
        return {"found": False, "other": argv[:1]}
    answer = {"found": True, "pid": pid, "argv": redact_words(argv), "unread": {}}
    for key, read in (
        ("exe", exe_of),
        ("environ", environ_of),
        ("status", status_of),
        ("memory", memory_of),
        ("started", started_of),
    ):
        try:
            answer[key] = read(pid)
        except OSError as exc:
            answer["unread"][key] = reason(exc)
    return answer


def pid_of(host, ask):
    if "pid_file" in ask:
        place = host.place(os.path.expanduser(ask["pid_file"]))
        text = contents(place, {})[0].decode("ascii", "replace") if os.path.lexists(place) else ""
    elif "container" in ask:
        argv = ["docker", "inspect", "--type", "container", "-f", "{{.State.Pid}}", ask["container"]]
        text = run_command(host, {"argv": argv}).get("stdout", "")
    else:
        argv = ["systemctl", "show", ask["unit"], "-p", "MainPID"]
        text = run_command(host, {"argv": argv}).get("stdout", "").replace("MainPID=", "")
    return int(text) if re.match(r"^\s*\d{1,9}\s*$", text) else 0


def exe_of(pid):
    return os.readlink("/proc/%d/exe" % pid)


def environ_of(pid):
    with open("/proc/%d/environ" % pid, "rb") as handle:
        pairs = [item.partition("=") for item in handle.read().decode("utf-8", "replace").split("\0")]
    return {name: redact(name + "=" + value)[len(name) + 1 :] for name, _, value in pairs if SAFE_ENV.match(name)}


def status_of(pid):
    with open("/proc/%d/status" % pid, "rb") as handle:
        lines = handle.read().decode("utf-8", "replace").splitlines()
    return {k: v.strip() for k, _, v in (line.partition(":") for line in lines) if k in STATUS}


def started_of(pid):
    """Seconds since 1970, never earlier than a file of that moment: `btime` in /proc/stat is truncated to seconds."""
    with open("/proc/%d/stat" % pid, "rb") as handle:
        ticks = int(handle.read().decode("utf-8", "replace").rpartition(")")[2].split()[19])
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return int(boot + (ticks + 1) / os.sysconf("SC_CLK_TCK"))


def memory_of(pid):
    """The memory cgroup's counters, of both generations, by file name."""
    with open("/proc/%d/cgroup" % pid, "rb") as handle:
        rows = [row.split(":", 2) for row in handle.read().decode("utf-8", "replace").splitlines()]
    found = {}
    for _number, controllers, group in (row for row in rows if len(row) == 3):
        base = "/sys/fs/cgroup/memory" if "memory" in controllers.split(",") else "/sys/fs/cgroup"
        if controllers and base == "/sys/fs/cgroup":
            continue
        for name in ("memory.events", "memory.max", "memory.oom_control", "memory.limit_in_bytes"):
            text = beside(base + group.rstrip("/") + "/" + name, {})
            if text is not None:
                found[name] = text
    return found
