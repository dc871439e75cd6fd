"""A deadline for answers that trickle or never end."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading


@contextlib.contextmanager
def ending(link, seconds):
    """Shuts the socket down at the deadline, since each read starts the socket's own timeout again."""
    late, said = [], "timed out: no complete answer in %d s" % seconds

    def end():
        late.append(True)
        with contextlib.suppress(OSError):
            socket.socket.shutdown(link, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        if late:
            raise socket.timeout(said) from error
        raise
    finally:
        timer.cancel()
    if late:
        raise socket.timeout(said)
