"""Lines that name their cause, whoever wrote them: systemd, Docker, swap, requests, proxies and clients."""

from __future__ import annotations

from reaper_ops.core.doctor.signatures.model import Signature as S

TABLE = (
    S(
        "prompt-cut",
        "any",
        r"truncating input (?:prompt|messages)[^\n]{0,40}? limit=(?P<limit>\d{1,12}) prompt=(?P<prompt>\d{1,12})"
        r"|input truncated \| n_ctx=(?P<context>\d{1,9})|input (?:exceeds|is longer than)[^\n]{0,60}context"
        r"|context limit hit|exceeds the available context size",
        ("prompt-truncated",),
        'level=WARN source=runner.go:187 msg="truncating input prompt" limit=4096 prompt=29312 keep=4 new=4096',
        summary="prompts are longer than the context, so the server cuts off their beginning",
        sure=True,
    ),
    S(
        "prompt-cache-lost",
        "any",
        r"forcing full prompt re-processing|cache reuse is not supported|context cache (?:miss|is not supported)",
        ("prompt-cache-unused",),
        "slot update_slots: id 0 | task 9 | forcing full prompt re-processing due to lack of cache data (likely "
        "due to SWA)",
        summary="the server computes the whole prompt again for each request: the prompt cache does not apply",
        sure=True,
    ),
    S(
        "swap-file-refused",
        "any",
        r"swapfile (?P<why>must not be copy-on-write|has holes|must not be compressed|must not be checksummed)"
        r"|swapon: (?P<path>/\S{1,300}): (?:skipping - it appears to have holes|swapon failed: Invalid argument)"
        r"|swapon: swapfile has (?P<flaw>holes|shared extents)",
        ("swapfile-unsupported-fs",),
        "BTRFS warning (device vda5): swapfile must not be copy-on-write",
        summary="the kernel refuses the swap file: {why}{flaw}",
        sure=True,
    ),
    S(
        "daemon-json-invalid",
        "any",
        r"unable to configure the Docker daemon with file (?P<path>\S{1,300}): (?P<why>[^\n]{1,200})"
        r"|daemon\.json: (?P<at>line \d{1,9}: [^\n]{1,200})"
        r"|the following directives (?:are specified both as a flag|don't match any configuration option)[^\n]{0,200}",
        ("docker-daemon-config-invalid",),
        "unable to configure the Docker daemon with file /etc/docker/daemon.json: invalid character '}' looking for "
        "beginning of object key string",
        summary="Docker does not start, because its configuration file is invalid: {why}{at}",
        sure=True,
    ),
    S(
        "health-check-program",
        "any",
        r'exec: \\?"(?P<program>curl|wget|nc|bash|sh)\\?": executable file not found'
        r"|(?:sh|/bin/sh): (?:\d{1,4}: )?(?P<name>curl|wget|nc): not found",
        ("healthcheck-no-curl",),
        'OCI runtime exec failed: exec failed: unable to start container process: exec: "wget": executable file not '
        "found in $PATH: unknown",
        summary="the container counts as unhealthy, because its health check runs {program}{name}, which the "
        "image lacks",
        sure=True,
    ),
    S(
        "published-port-taken",
        "any",
        r"[Bb]ind for (?P<addr>\S{1,256}:\d{1,5}) failed: port is already allocated"
        r"|failed to bind (?:host )?port (?:for )?(?P<at>\S{1,256}?)(?::\S{1,256})?: address already in use"
        r"|listen tcp[46]? (?P<on>\S{1,256}): bind: address already in use",
        ("port-taken",),
        "Error starting userland proxy: listen tcp4 0.0.0.0:11434: bind: address already in use",
        summary="the port {addr}{at}{on} is already in use by another program on this host",
        sure=True,
    ),
    S(
        "environment-line-ignored",
        "any",
        r"Invalid environment assignment, ignoring: (?P<text>[^\n]{1,200})"
        r"|Ignoring invalid environment assignment '(?P<quoted>[^']{1,200})'",
        ("unit-file-invalid",),
        "/etc/systemd/system/ollama.service.d/override.conf:3: Invalid environment assignment, ignoring: OLLAMA_HOST",
        summary="systemd ignores a line of the unit, which is not NAME=value: {text}{quoted}",
        sure=True,
    ),
    S(
        "unit-broken",
        "any",
        r"(?:ollama\.service|\.conf):(?P<at>\d{1,6})(?::|\]) "
        r"(?P<why>Unknown (?:key(?: name)?|lvalue|section) '?[^\n]{1,120}|Missing '='[^\n]{0,80}"
        r"|Assignment outside of section[^\n]{0,40}|Invalid section header[^\n]{0,60})"
        r"|ollama\.service(?: lacks both|: Service has no) (?P<lacks>ExecStart=[^\n]{0,80})|bad unit file setting",
        ("unit-file-invalid",),
        "/etc/systemd/system/ollama.service:3: Missing '=', ignoring line.",
        summary="systemd does not accept the unit file as it is: {why}{lacks}",
        sure=True,
    ),
    S(
        "start-limit",
        "any",
        r"ollama\.service: Start request repeated too quickly|ollama\.service: Failed with result 'start-limit-hit'",
        ("service-crash-looping",),
        "systemd[1]: ollama.service: Start request repeated too quickly.",
        summary="the service exited at every start, and systemd gave up (start-limit-hit)",
    ),
    S(
        "proxy-login",
        "any",
        r"\b401\b[^\n]{0,80}(?:Authorization Required|Unauthorized|Unauthenticated)|WWW-Authenticate:"
        r" (?P<scheme>\w{1,20})"
        r"|\b407\b[^\n]{0,40}Proxy Authentication",
        ("proxy-asks-login",),
        "HTTP/1.1 401 Authorization Required",
        summary="a proxy in front of Ollama asks for a login (status 401), which Ollama itself never does",
    ),
    S(
        "redirected",
        "any",
        r"\b30[1278] (?:Moved Permanently|Found|Temporary Redirect|Permanent Redirect)\b"
        r"|(?i:location: )(?P<to>https://\S{1,300})",
        ("redirect-to-https",),
        "HTTP/1.1 301 Moved Permanently",
        summary="the address redirects to another one, as http to https, and a redirected POST loses its body",
    ),
    S(
        "path-doubled",
        "any",
        r"(?P<path>/api/api/\S{0,60}|/v1/v1/\S{0,60}|/v1/api/\S{0,60}|/api/v1/\S{0,60})",
        ("base-url-has-path",),
        "404 page not found: POST http://gpu1:11434/v1/api/chat",
        summary="the client's base URL ends in a path already: it asks for {path}, which does not exist",
        sure=True,
    ),
    S(
        "cloudflare-timeout",
        "any",
        r"\b(?P<code>524|522|521|520|523)\b[^\n]{0,40}(?i:cloudflare|cf-ray|a timeout occurred)"
        r"|status(?: code|_code)?[ :=]{1,3}(?P<status>52[0-4])\b|(?i:cloudflare)[^\n]{0,60}\b(?P<number>52[0-4])\b",
        ("proxy-504-timeout",),
        "Ollama call failed with status code 524",
        summary="Cloudflare gave up before Ollama's first byte (status {code}{status}{number}); it waits 100 s",
        sure=True,
    ),
    S(
        "gateway-timeout",
        "any",
        r"\b504\b.{0,20}Gateway Time-?out|upstream timed out|upstream request timeout",
        ("proxy-504-timeout",),
        "upstream timed out (110: Connection timed out) while reading response header from upstream",
        summary="a proxy gave up before Ollama's first byte (504)",
        sure=True,
    ),
    S(
        "bad-gateway",
        "any",
        r"\b502\b.{0,20}Bad Gateway|connect\(\) failed \(1\d\d: [^)]{1,60}\) while connecting to upstream"
        r"|no live upstreams|upstream prematurely closed connection",
        ("proxy-502",),
        "connect() failed (111: Connection refused) while connecting to upstream",
        summary="a proxy cannot reach the Ollama behind it (502)",
    ),
    S(
        "body-too-large",
        "any",
        r"client intended to send too large body|413 (?:Request Entity|Payload|Content) Too Large",
        ("proxy-400-404-path",),
        "client intended to send too large body: 10485761 bytes",
        summary="a proxy refuses requests as too large (413)",
        sure=True,
    ),
    S(
        "model-said-missing",
        "any",
        r"model ['\"](?P<model>[\w./:-]{1,200})['\"] not found(?:, try pulling it first)?",
        ("model-not-found",),
        'ollama._types.ResponseError: model "llama9:1b" not found, try pulling it first (status code: 404)',
        summary="the model {model} is not in the server's store",
        sure=True,
    ),
    S(
        "model-maybe-missing",
        "any",
        r"status code 404\. Maybe your model is not found and you should pull",
        ("model-not-found",),
        "Ollama call failed with status code 404. Maybe your model is not found and you should pull the model with",
        summary="the client got 404, as for a model that is not in the server's store",
    ),
)
