"""How clients say that they did not get through: Go, Python, Node, libcurl, the C library.

Sources: errno.h and strerror(3); gai_strerror(3); curl's include/curl/curl.h; Go's net and crypto/x509; aiohttp,
requests and httpx (Python); Node's errors of libuv.
"""

from __future__ import annotations

from collections.abc import Mapping

CURL: Mapping[int, tuple[str, str]] = {
    5: ("dns", "the proxy's name does not resolve"),
    6: ("dns", "the host's name does not resolve"),
    7: ("refused", "connection refused"),
    18: ("reset", "the answer ended early"),
    22: ("http", "the server answered with an error status"),
    26: ("local", "a local file cannot be read"),
    28: ("timeout", "no answer in time"),
    35: ("tls", "the TLS handshake failed"),
    47: ("redirect", "too many redirects"),
    51: ("tls", "the certificate is for another name"),
    52: ("reset", "an empty answer"),
    53: ("tls", "the TLS engine was not found"),
    55: ("reset", "sending failed"),
    56: ("reset", "receiving failed"),
    58: ("tls", "the client's certificate cannot be used"),
    60: ("tls", "the certificate cannot be verified"),
    61: ("protocol", "the encoding of the answer is unknown"),
    77: ("tls", "the CA certificates cannot be read"),
    92: ("reset", "an HTTP/2 stream ended in error"),
    97: ("proxy", "the proxy handshake failed"),
}
"""Exit code of curl: kind of failure, and what it means."""

TEXTS: tuple[tuple[str, str], ...] = (
    ("unreachable", r"Errno (?:101|113)\][^\n]{0,60}Connect call failed"),
    ("timeout", r"Errno 110\][^\n]{0,60}Connect call failed"),
    ("refused", r"[Cc]onnection refused|ECONNREFUSED|Connect call failed|Errno 111\b|os error 111\b"),
    (
        "refused",
        r"actively refused it|WinError 10061|Couldn't connect to server|could not connect to (?:a running )?ollama",
    ),
    ("dns", r"no such host|server misbehaving|Name or service not known|Temporary failure in name resolution"),
    ("dns", r"getaddrinfo (?:ENOTFOUND|EAI_AGAIN|failed)|ENOTFOUND|EAI_AGAIN|Could not resolve (?:host|proxy)"),
    ("dns", r"nodename nor servname provided|No address associated with hostname|bad address '"),
    ("unreachable", r"[Nn]o route to host|EHOSTUNREACH|Errno 113\b|[Nn]etwork is unreachable|ENETUNREACH|Errno 101\b"),
    ("timeout", r"i/o timeout|ETIMEDOUT|[Cc]onnection timed out|Errno 110\b|ConnectTimeout|TLS handshake timeout"),
    ("timeout", r"context deadline exceeded|Client\.Timeout exceeded|ReadTimeout|[Rr]ead timed out|ServerTimeoutError"),
    ("timeout", r"HeadersTimeoutError|UND_ERR_(?:HEADERS|BODY|CONNECT)_TIMEOUT|Connection timeout to host"),
    (
        "tls",
        r"x509: |CERTIFICATE_VERIFY_FAILED|SSLError|SSL_ERROR|certificate verify failed|unable to get local issuer",
    ),
    ("tls", r"DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT|ERR_TLS_|WRONG_VERSION_NUMBER|wrong version number"),
    ("tls", r"first record does not look like a TLS handshake|http: server gave HTTP response to HTTPS client"),
    (
        "reset",
        r"[Cc]onnection reset by peer|ECONNRESET|Errno 104\b|RemoteDisconnected|Server disconnected|socket hang up",
    ),
    (
        "reset",
        r"broken pipe|EPIPE|Errno 32\b|IncompleteRead|RemoteProtocolError|unexpected EOF|Empty reply from server",
    ),
    (
        "proxy",
        r"proxyconnect tcp|ProxyError|Tunnel connection failed|CONNECT tunnel failed|Proxy Authentication Required",
    ),
)
"""Kind of failure, and what it looks like. The first that fits a line counts."""
