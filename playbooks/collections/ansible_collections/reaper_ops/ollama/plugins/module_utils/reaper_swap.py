"""What the kernel and fstab report about one swap file, and how to remove it safely."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess

from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble, unlink, write_atomic

FSTAB = "/etc/fstab"
BRIDGE, PART = ".reaper_ops-new", ".reaper_ops-part"


def active(path):
    """(size, used, priority) in bytes when the kernel swaps to `path`; None otherwise."""
    try:
        with open("/proc/swaps", encoding="utf-8") as file:
            rows = [line.split() for line in file.read().splitlines()[1:]]
    except OSError:
        return None
    real = os.path.realpath(path)
    for row in rows:
        name = row[0].encode().decode("unicode_escape")
        if name in (path, real):
            return int(row[2]) * 1024, int(row[3]) * 1024, int(row[4])
    return None


def meminfo(name):
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key == name:
                return int(value.split()[0]) * 1024
    return 0


def command(argv):
    """Standard output; Trouble with the program's own message when it fails."""
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except FileNotFoundError:
        raise Trouble("%s: program not found; install util-linux" % argv[0]) from None
    out = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode != 0:
        raise Trouble("%s: %s" % (" ".join(argv), out or "exit code %d" % done.returncode))
    return out


def swap_off(path):
    """Disables it only when memory and the remaining swap can hold the used pages."""
    state = active(path)
    if state is None:
        return
    others = meminfo("SwapFree") - (state[0] - state[1])
    room = meminfo("MemAvailable") + max(others, 0)
    if state[1] > room:
        raise Trouble(
            "%s: holds %d MB, but only %d MB of memory and other swap are free; stop something big, then run again"
            % (path, state[1] >> 20, room >> 20)
        )
    command(["swapoff", path])


def names(path):
    """The file, the bridge of a resize, and an unfinished file."""
    return path, path + BRIDGE, path + PART


def destroy(path):
    """Disables and removes the swap file, and what a killed resize left."""
    for name in names(path):
        swap_off(name)
        with contextlib.suppress(FileNotFoundError):
            unlink(name)


def fstab_line(path, priority=None):
    options = "sw,nofail" if priority is None else "sw,nofail,pri=%d" % priority
    return "%s none swap %s 0 0" % (path.replace(" ", "\\040"), options)


def fstab_lines(path, text):
    """Indices of the lines of fstab that swap to `path`."""
    escaped = path.replace(" ", "\\040")
    rows = [line.split() for line in text.splitlines()]
    return [at for at, row in enumerate(rows) if len(row) > 2 and row[0] == escaped and row[2] == "swap"]


def fstab_text(file=FSTAB):
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as handle:
            return handle.read()
    except FileNotFoundError:
        return ""


def fstab_with(path, line, text):
    """fstab with exactly this line for `path`, or none when `line` is empty; other lines stay unchanged."""
    lines = text.splitlines()
    found = fstab_lines(path, text)
    if found == [] and not line:
        return text
    if line and found and lines[found[0]].split() == line.split() and len(found) == 1:
        return text
    at = found[0] if found else len(lines)
    kept = [row for index, row in enumerate(lines) if index not in found]
    if line:
        kept.insert(at, line)
    return "".join(row + "\n" for row in kept)


def write_fstab(text, file=FSTAB):
    """Replaces fstab after `findmnt --verify` found no new error in it."""
    if shutil.which("findmnt"):
        candidate = file + ".reaper_ops"
        write_atomic(candidate, text, 0o644)
        try:
            before, after = fstab_errors(file), fstab_errors(candidate)
        finally:
            os.unlink(candidate)
        if len(after) > len(before):
            raise Trouble("%s: the new text fails verification: %s; check the file" % (file, "; ".join(after)))
    write_atomic(file, text)


def fstab_errors(path):
    if not os.path.exists(path):
        return []
    argv = ["findmnt", "--verify", "--tab-file", path]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    return [line.strip() for line in lines if line.strip().startswith("[E]") or "parse error at line" in line]
