"""Why a pull failed: texts of the server, of registries and of TLS, in a stream, an answer or the server's log."""

from __future__ import annotations

from reaper_ops.core.doctor.signatures.model import Signature as S

TABLE = (
    S(
        "pull-redirect-blocked",
        "pull",
        r"blocked redirect to a different host|redirect target not allowed",
        ("pull-redirect-blocked",),
        'Head "https://us.aws.cdn.hf.co/xet-bridge-us/6a51?x=1": blocked redirect to a different host',
    ),
    S(
        "pull-x509-time",
        "pull",
        r"certificate has expired or is not yet valid"
        r"(?:: current time (?P<now>\S{1,256}) is (?P<side>after|before) (?P<bound>[^\s\"\\]{1,512}))?"
        r"|certificate (?:has expired|is not yet valid)",
        ("pull-x509-time",),
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: "
        "current time 2024-03-25T07:29:23Z is after 2024-03-25T07:17:47Z",
    ),
    S(
        "pull-x509-ca",
        "pull",
        r"certificate signed by unknown authority|unable to get (?:local )?issuer certificate"
        r"|self[- ]signed certificate",
        ("pull-x509-unknown-ca",),
        'Get "https://registry.ollama.ai/v2/library/mistral/manifests/latest": tls: failed to verify certificate: '
        "x509: certificate signed by unknown authority",
    ),
    S(
        "pull-tls-garbage",
        "pull",
        r"first record does not look like a TLS handshake|server gave HTTP response to HTTPS client"
        r"|WRONG_VERSION_NUMBER|(?i:wrong version number)|insecure protocol http"
        r"|invalid character '(?:<|\\u003c)' looking for beginning of value",
        ("pull-tls-garbage",),
        'Get "https:///...": tls: first record does not look like a TLS handshake',
    ),
    S(
        "pull-tls-closed",
        "pull",
        r'Get \\?"https://[^"\\]{0,2000}\\?": EOF',
        ("pull-tls-garbage",),
        r'msg="request failed: Get \"https://127.0.0.1:31900/v2/ok/tiny/manifests/1m\": EOF"',
    ),
    S(
        "pull-dns",
        "pull",
        r"lookup (?P<name>[^\s:]{1,256})(?: on (?P<resolver>\S{1,128}))?: "
        r"(?:no such host|server misbehaving|Temporary failure in name resolution|(?:(?!lookup ).){0,200}?i/o timeout)",
        ("pull-dns",),
        "dial tcp: lookup registry.ollama.ai on 127.0.0.53:53: server misbehaving",
    ),
    S(
        "pull-connect",
        "pull",
        r"(?P<proxy>proxyconnect tcp: )?dial tcp (?P<address>\[?[0-9A-Fa-f.:]{1,128}\]?:\d{1,20}): "
        r"(?:i/o timeout|connect: (?:connection"
        r" (?:timed out|refused)|no route to host|network is unreachable|operation not permitted))",
        ("pull-connect-blocked",),
        'Get "https://registry.ollama.ai/v2/library/phi3/manifests/latest": dial tcp 172.67.182.229:443: i/o timeout',
    ),
    S(
        "pull-needs-newer",
        "pull",
        r"(?:manifest: |status:? |says )412\b.{0,200}|requires a newer version of Ollama",
        ("pull-needs-newer-ollama",),
        "pull model manifest: 412: The model you are attempting to pull requires a newer version of Ollama.",
    ),
    S(
        "pull-limited",
        "pull",
        r"manifest: 429\b|max retries exceeded(?:(?!max retries ).){0,2000}\b429\b|(?i:too ?many ?requests)",
        ("pull-rate-limited",),
        'pull model manifest: 429: {"errors":[{"code":"TOOMANYREQUESTS","message":"rate limit exceeded"}]}',
    ),
    S(
        "pull-denied",
        "pull",
        r"manifest: (?P<code>401|403)\b|unauthorized: access denied|realm host \S{1,256} does not match"
        r"|says (?P<ours>401|403)\b",
        ("pull-unauthorized",),
        'pull model manifest: realm host "" does not match original host "127.0.0.1:31900"',
    ),
    S(
        "pull-no-key",
        "pull",
        r"open (?P<path>\S{0,1024}id_ed25519): ",
        ("pull-unauthorized",),
        "pull model manifest: open /usr/share/ollama/.ollama/id_ed25519: no such file or directory",
    ),
    S(
        "pull-not-found",
        "pull",
        r"manifest: file does not exist|(?:says|answers) 404: no such model or tag",
        ("pull-manifest-not-found",),
        "pull model manifest: file does not exist",
    ),
    S(
        "pull-digest",
        "pull",
        r"digest mismatch, file must be downloaded again: "
        r"want sha256:(?P<want>[0-9a-f]{64}), got sha256:(?P<got>[0-9a-f]{64})",
        ("pull-digest-mismatch",),
        "digest mismatch, file must be downloaded again: "
        "want sha256:8de95da68dc485c0889c205384c24642f83ca18d089559c977ffc6a3972a71a8, "
        "got sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    S(
        "pull-no-room",
        "pull",
        r"needs (?P<need>[\d.]{1,20} GB) and [\d.]{1,20} GB must stay free, but (?P<path>\S{1,1024}) has only "
        r"(?P<free>[\d.]{1,20} GB)",
        ("pull-disk-full",),
        "llama3:70b needs 39.9 GB and 1.1 GB must stay free, but /var/lib/ollama/models has only 12.3 GB",
    ),
    S(
        "pull-stalled",
        "pull",
        r"(?P<layer>[0-9a-f]{12}) part (?P<part>\d{1,9}) stalled; retrying"
        r"|stalled: no new bytes? for (?P<patience>\d{1,9}) s",
        ("pull-stalled",),
        'level=INFO source=download.go:250 msg="e8a35b5937a5 part 23 stalled; retrying. If this persists, press"',
    ),
    S(
        "pull-attempt",
        "pull",
        r"(?P<layer>[0-9a-f]{12}) part (?P<part>\d{1,9}) attempt (?P<attempt>\d{1,9}) failed: "
        r"(?P<why>.{0,2000}), retrying in",
        ("pull-max-retries",),
        'level=INFO source=download.go:299 msg="caa5710c3f1c part 2 attempt 5 failed: unexpected EOF, retrying in 32s"',
    ),
    S(
        "pull-max-retries",
        "pull",
        r"max retries exceeded(?:: (?P<why>[^\n\"]{0,2000}))?",
        ("pull-max-retries",),
        "max retries exceeded: unexpected EOF",
    ),
    S(
        "pull-partial-corrupt",
        "pull",
        r"^(?:Error: )?(?:the server (?:says|answers) 500: )?EOF$",
        ("pull-partial-corrupt",),
        "EOF",
    ),
)
