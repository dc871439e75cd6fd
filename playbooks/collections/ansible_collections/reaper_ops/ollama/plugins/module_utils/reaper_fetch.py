"""Downloads that resume where an earlier attempt stopped."""

from __future__ import annotations

import base64
import errno
import http.client
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request

from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble

CHUNK = 1 << 20
ATTEMPTS = 4
TIMEOUT = 60
UNPACKED_FACTOR = 3


def require_space(dest, needed, what):
    free = shutil.disk_usage(dest).free
    if needed > free:
        raise Trouble(
            "%s: %s needs about %d MB, but %d MB are free; free some space or choose another directory"
            % (dest, what, needed >> 20, free >> 20)
        )


def fetch(url, offset=0):
    """User and password of the URL go to its host alone, not to where it redirects."""
    parts = urllib.parse.urlsplit(url)
    login, _, place = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=place).geturl(), headers={"User-Agent": "reaper_ops"})
    if login:
        encoded = base64.b64encode(urllib.parse.unquote(login).encode()).decode()
        request.add_unredirected_header("Authorization", "Basic " + encoded)
    if offset:
        request.add_header("Range", "bytes=%d-" % offset)
    return urllib.request.urlopen(request, timeout=TIMEOUT)


def receive(url, part, dest):
    """One attempt to complete `part`, from its current end; returns the bytes received."""
    have = os.path.getsize(part) if os.path.exists(part) else 0
    try:
        answer = fetch(url, have)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            total = (error.headers.get("Content-Range") or "").rpartition("/")[2]
            if total == str(have):
                return 0
            os.unlink(part)
            raise ConnectionError("the partial download does not match the server's file") from None
        raise
    with answer, open(part, "ab") as file:
        if answer.status != 206:
            file.truncate(0)
            have = 0
        length = answer.headers.get("Content-Length")
        if length:
            require_space(dest, int(length) + UNPACKED_FACTOR * (int(length) + have), os.path.basename(url))
        got = 0
        for block in iter(lambda: answer.read(CHUNK), b""):
            file.write(block)
            got += len(block)
        file.flush()
        os.fsync(file.fileno())
    if length and got != int(length):
        raise ConnectionError("the connection broke after %d of %s bytes" % (got, length))
    return got


def download(url, part, dest):
    received = 0
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return received + receive(url, part, dest)
        except urllib.error.HTTPError as error:
            if (error.code < 500 and error.code != 429) or attempt == ATTEMPTS:
                raise Trouble(
                    "%s: the server answers %d %s; check ollama_version and ollama_release_url"
                    % (url, error.code, error.reason)
                ) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            if attempt == ATTEMPTS:
                raise Trouble(
                    "%s: cannot be downloaded: %s; check the network, https_proxy, or set ollama_release_url"
                    % (url, getattr(error, "reason", error))
                ) from None
        time.sleep(2 ** (attempt - 1))
    return received
