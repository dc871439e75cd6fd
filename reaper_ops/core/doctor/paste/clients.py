"""What clients and proxies say of a request that failed: who, which address, in which way."""

from __future__ import annotations

import re
from collections.abc import Mapping

from reaper_ops.core.facts.reported import (
    CLOSED,
    CORS,
    DNS,
    HTTP,
    PROTOCOL,
    PROXY,
    READ_TIMEOUT,
    REFUSED,
    RESET,
    TIMEOUT,
    TLS,
    UNREACHABLE,
    ClientError,
)

WAYS: Mapping[str, re.Pattern[str]] = {
    CORS: re.compile(r"blocked by CORS|CORS policy|Cross-Origin Request Blocked"),
    PROXY: re.compile(
        r"ProxyError|proxyconnect tcp|tunnel connection failed|Tunnel connection failed|CONNECT tunnel failed"
        r"|Proxy CONNECT aborted|Could not resolve proxy"
    ),
    DNS: re.compile(
        r"ENOTFOUND|EAI_AGAIN|NameResolutionError|Name or service not known|Temporary failure in name resolution"
        r"|nodename nor servname|no such host|server misbehaving|Could not resolve host|getaddrinfo failed"
        r"|host not found in upstream|No address associated with hostname|ERR_NAME_NOT_RESOLVED|Name does not resolve"
    ),
    TLS: re.compile(
        r"x509: |tls: |CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError|self[- ]signed certificate"
        r"|unable to verify the first certificate|UNABLE_TO_|DEPTH_ZERO|SSL certificate problem|WRONG_VERSION_NUMBER"
        r"|wrong version number|ERR_SSL_|ERR_CERT_|SSL_ERROR|ssl_error|HTTP response to HTTPS client"
        r"|certificate has expired"
        r"|SSL: no alternative certificate|TLS alert|tlsv1 alert|SSL connect error"
    ),
    REFUSED: re.compile(
        r"ECONNREFUSED|[Cc]onnection refused|(?<!Errno 1(?:01|10|13)\] )Connect call failed|ERR_CONNECTION_REFUSED"
        r"|actively refused"
        r"|Couldn't connect to server|could not connect to (?:a running )?[Oo]llama"
        r"|Failed to connect to (?:Ollama|server)"
        r"|Failed to connect to [\w.-]{1,128} port|no live upstreams|Could not connect to server"
    ),
    READ_TIMEOUT: re.compile(
        r"ReadTimeout|[Rr]ead timed out|Client\.Timeout exceeded|HeadersTimeout|UND_ERR_HEADERS_TIMEOUT|BodyTimeout"
        r"|UND_ERR_BODY_TIMEOUT|APITimeoutError|Request timed out|Operation timed out after"
        r"|timeout of \d{1,9} ?ms exceeded"
        r"|upstream timed out|TimeoutError|deadline exceeded|Operation timeout|awaiting headers|SocketTimeout"
    ),
    TIMEOUT: re.compile(
        r"ETIMEDOUT|Errno 110\]|ConnectTimeout|i/o timeout|[Cc]onnection timed out|UND_ERR_CONNECT_TIMEOUT"
        r"|ERR_CONNECTION_TIMED_OUT|Timeout was reached|connect timed out|Connection timeout|Connect Timeout"
    ),
    UNREACHABLE: re.compile(
        r"EHOSTUNREACH|ENETUNREACH|Errno 1(?:01|13)\]|[Nn]o route to host|[Nn]etwork is unreachable"
        r"|ERR_ADDRESS_UNREACHABLE|Destination (?:Host |Net )?[Uu]nreachable"
    ),
    RESET: re.compile(
        r"ECONNRESET|[Cc]onnection reset|socket hang up|Recv failure|ERR_CONNECTION_RESET|EPIPE|[Bb]roken pipe"
    ),
    CLOSED: re.compile(
        r"RemoteProtocolError|Server disconnected|ServerDisconnected|Empty reply from server"
        r"|RemoteDisconnected|prematurely"
        r"|IncompleteRead|incomplete chunked read|unexpected EOF|other side closed|Connection aborted|: EOF$"
        r"|transfer closed"
        r"|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE_CHUNKED"
    ),
    PROTOCOL: re.compile(
        r"Received HTTP/0\.9|malformed HTTP|JSONDecodeError|is not valid JSON|Unexpected token '?<"
        r"|invalid character '<'"
    ),
}
STATUS = re.compile(
    r"(?:status[ _]?code:? ?|Error code: |[Ss]tatus(?: code)?[:=]? |HTTP/[0-9.]{1,3} |HTTP(?: error)? |error code: "
    r"|HTTPStatusError: \w{6} error '|status\":|\[)"
    r"(?P<status>[45][0-9]{2})(?=[ '\",)}\]:\-.]|$)|(?P<reason>[45][0-9]{2}) (?:Client|Server) Error"
)
URL = re.compile(r"(?:https?|wss?)://[^\s\"'<>),\]\\}]{1,500}")
PLACE = re.compile(
    r"host='(?P<h1>[^']{1,255})', port='?(?P<p1>[0-9]{1,5})"
    r"|\('(?P<h2>[0-9A-Fa-f:.]{2,45})', (?P<p2>[0-9]{1,5})"
    r"|(?:ECONNREFUSED|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ECONNRESET) (?P<h3>[\w.:-]{1,255}):(?P<p3>[0-9]{1,5})"
    r"|(?:dial (?:tcp|tcp4|tcp6|udp)|->) ?\[?(?P<h4>[\w.:-]{1,255}?)\]?:(?P<p4>[0-9]{1,5})(?![0-9])"
    r"|(?:connect to host|Failed to connect to|connect to) \[?(?P<h5>[\w.-]{1,255})\]?(?::| port )(?P<p5>[0-9]{1,5})"
    r"|(?:ENOTFOUND|EAI_AGAIN|resolve host(?:name)?:?|lookup|in upstream) '?\"?(?P<h6>[\w.-]{1,255})"
    r"|(?:Failed to connect to|after [0-9]{1,9} ms: .{0,64}) (?P<h7>[\w.-]{1,255}) port (?P<p7>[0-9]{1,5})"
    r"|connect to (?P<h8>[\w.:-]{1,255}) port (?P<p8>[0-9]{1,5})"
)
CLIENTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("curl", re.compile(r"curl: \([0-9]{1,2}\)")),
    (
        "nginx",
        re.compile(
            r"while (?:connecting to|reading \w{4,8} \w{4,6} from|reading) upstream|\[(?:error|emerg|crit)\] \d|nginx"
        ),
    ),
    ("caddy", re.compile(r"\"logger\": ?\"http|caddy")),
    ("traefik", re.compile(r"caused by: |traefik")),
    ("cloudflare", re.compile(r"(?i)\bcloudflare\b|cf-ray|error code: (?:52\d|1033)|cloudflared")),
    ("open-webui", re.compile(r"open_webui|apps\.ollama|Open WebUI|routers\.ollama")),
    ("langchain", re.compile(r"langchain|OllamaEndpoint")),
    ("home-assistant", re.compile(r"homeassistant|custom_components")),
    ("n8n", re.compile(r"n8n|NodeApiError|NodeOperationError")),
    ("litellm", re.compile(r"litellm")),
    ("openai", re.compile(r"openai\.|APIConnectionError|APITimeoutError|Error code: [45]")),
    ("aiohttp", re.compile(r"aiohttp|Connect call failed|ClientConnectorError|ClientResponse")),
    ("httpx", re.compile(r"httpx|httpcore")),
    ("requests", re.compile(r"requests\.exceptions|HTTPConnectionPool|HTTPSConnectionPool|urllib3")),
    ("browser", re.compile(r"net::ERR|CORS|Failed to fetch")),
    ("node", re.compile(r"ECONN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOST|fetch failed|UND_ERR|Axios|socket hang up|node:")),
    ("ollama", re.compile(r"Error: |[Oo]llama")),
    ("go", re.compile(r"dial (?:tcp|udp)|(?:Get|Post|Head|Put) \\?\"")),
    ("wget", re.compile(r"wget|failed: ")),
)
OPENS = re.compile(
    r"curl: \([0-9]{1,2}\)|Traceback \(most recent call last\)|(?:requests|httpx|httpcore|urllib3|aiohttp|openai"
    r"|ollama\._types|langchain\w{0,32})\.[\w.]{1,80}: |(?:ConnectionError|ConnectionRefusedError|OSError"
    r"|APIConnectionError|TypeError"
    r"|FetchError|AxiosError|NodeApiError|ResponseError|ReadTimeout|ConnectTimeout|TimeoutError"
    r"|ClientConnectorError)\b.{0,8}[: ]"
    r"|(?:Uncaught )?\w{0,40}(?:Error|Exception): (?:connect|getaddrinfo|read|request to|socket|fetch|self"
    r"|unable|Request failed|timeout of) ?\b|connect E[A-Z]{6,12} |getaddrinfo E"
    r"|\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(?:error|crit|emerg|warn)\] "
    r"|Access to (?:fetch|XMLHttpRequest) at |\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.,]\d{1,6} \| \w{4,8} {1,6}\|"
    r"|(?:Get|Post|Head) \"http|wget: |\{\"level\":\"error\".{0,80}\"logger\":\"http|error code: \d{3,4}$"
    r"|Ollama call failed|Failed to fetch|net::ERR_|ECONN[A-Z]{5,8}|Connection error|(?:ConnectError|ReadError)\b"
)
GOES_ON = re.compile(
    r"\A(?:[ \t]+\S|During handling of|The above exception|[\w.]{1,120}(?:Error|Exception|Timeout"
    r"|Disconnected)\b[^\n]{0,4000}"
    r"|\s*$|<CIMultiDictProxy|Caused by|cause: |\[cause\]|at \S|code: '|errno: )"
)


def error(text: str) -> ClientError | None:
    """What the line says of a request that failed; None for any other line."""
    kind = next((kind for kind, way in WAYS.items() if way.search(text)), "")
    found = STATUS.search(text)
    status = (found["status"] or found["reason"]) if found else ""
    url = URL.search(text)
    if not kind and not (status and (url or re.search(r"(?i)error|failed|exception", text))):
        return None
    host, port = place(text)
    address = _address(url[0]) if url else ("", None)
    return ClientError(
        by=_by(text, status),
        kind=kind or HTTP,
        text=text.strip()[:500],
        url=url[0].rstrip(".:;") if url else "",
        host=host or address[0],
        port=port if host else address[1],
        status=int(status) if status and not kind else None,
    )


def _by(text: str, status: str) -> str:
    if status.startswith("52"):
        return "cloudflare"
    return next((name for name, look in CLIENTS if look.search(text)), "")


def place(text: str) -> tuple[str, int | None]:
    """Host and port that were dialled."""
    found = PLACE.search(text)
    if found is None:
        return "", None
    values = found.groupdict()
    host = next((value for name, value in values.items() if name.startswith("h") and value), "")
    port = next((value for name, value in values.items() if name.startswith("p") and value), "")
    return host, int(port) if port else None


def _address(url: str) -> tuple[str, int | None]:
    found = re.match(
        r"(https?|wss?)://(?:[^/@\s]{0,200}@)?(\[[0-9a-fA-F:.]{2,45}\]|[^/:?#\s]{1,255})(?::([0-9]{1,5}))?", url
    )
    if found is None:
        return "", None
    default = 443 if found[1] in {"https", "wss"} else 80
    return found[2].strip("[]"), int(found[3]) if found[3] else default
