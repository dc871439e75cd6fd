"""Lines that name their cause, whoever wrote them: clients and their URLs, registries, runners, models, stores."""

from __future__ import annotations

from reaper_ops.core.doctor.signatures.model import Signature as S

TABLE = (
    S(
        "origin-refused",
        "any",
        r"^(?![^\n]{0,1000}(?:registry\.|/v2/|huggingface|manifest))[^\n]{0,1000}"
        r"(?:\b403\b[ (:]{1,3}Forbidden|status(?:[ _]code)?:? ?403\b|\"\S{0,80}\" 403\b)[^\n]{0,400}$"
        r"|[Oo]llama (?:call failed with status code|error|API error):? 403\b|requires additional access origins"
        r"|blocked by CORS policy|Access-Control-Allow-Origin' header",
        ("cors-origin-403",),
        "GET http://gpu1:11434/api/tags net::ERR_ABORTED 403 (Forbidden)",
        summary="Ollama refuses the request's origin or host name (status 403)",
    ),
    S(
        "answer-late",
        "any",
        r"litellm\.(?:exceptions\.)?Timeout|APITimeoutError|timeout of \d{1,9} ?ms exceeded|Timeout passed=\d"
        r"|generation request timed out|HeadersTimeoutError|UND_ERR_HEADERS_TIMEOUT|httpx\.ReadTimeout|ReadTimeoutError"
        r"|Read timed out\.|asyncio\.(?:exceptions\.)?TimeoutError|^TimeoutError$|[Rr]equest timed out",
        ("client-timeout-too-short",),
        "litellm.Timeout: Connection timed out after 600.0 seconds.",
        summary="the client's own time limit ended before the answer came",
    ),
    S(
        "url-malformed",
        "any",
        r"(?:connect to host|lookup|resolve host:?|ENOTFOUND|host=') ?(?P<scheme>https?)(?:'|:\d|\s|$)|https?://https?:"
        r"|Invalid URL '|No connection adapters were found|missing an 'http://' or|unsupported protocol scheme"
        r"|first path segment in URL cannot contain colon|Only absolute URLs are supported|(?:Failed to parse"
        r"|Invalid) URL\b"
        r"|MissingSchema",
        ("base-url-has-path",),
        "Cannot connect to host http:80 ssl:default [Timeout while contacting DNS servers]",
        summary="the client's base URL is malformed: http:// stands in it twice or not at all",
        sure=True,
    ),
    S(
        "registry-cut",
        "any",
        r"(?:Get|Head|Post) \\?\"https://[^\"\\]{0,2000}\\?\": (?:read tcp \S{1,100}: read: connection reset by peer"
        r"|net/http: TLS handshake timeout|context deadline exceeded|net/http: request canceled|remote error: tls)"
        r"|->\S{1,60}:443: (?:read: connection reset by peer|write: broken pipe)",
        ("pull-connect-blocked",),
        'pull model manifest: Get "https://ollama.com/token?service=ollama.com": read tcp 10.0.0.5:406->192.0.2.1:443: '
        "read: connection reset by peer",
        summary="the network cuts the connection to the registry: a firewall, a proxy, or a very slow link",
    ),
    S(
        "registry-key",
        "any",
        r"ssh: no key found|ssh: (?:cannot|failed to) (?:decode|parse) (?:private )?key",
        ("pull-unauthorized",),
        "Error: pull model manifest: ssh: no key found",
        summary="the server's own key (~/.ollama/id_ed25519) is empty or broken, so it cannot sign requests",
        sure=True,
    ),
    S(
        "name-refused",
        "any",
        r"invalid model (?:name|path|reference)|not a valid quantization scheme|is not GGUF or is not compatible"
        r"|pull model manifest: (?:file does not exist|404)",
        ("pull-manifest-not-found",),
        "Error: pull model manifest: file does not exist",
        summary="the registry has no model of this name and tag",
        sure=True,
    ),
    S(
        "runner-gone",
        "any",
        r"(?:POST predict|health resp|do embedding request|completion error|127\.0\.0\.1:\d{5}/(?:completion"
        r"|embedding|load"
        r"|health))[^\n]{0,300}(?:EOF|connection re(?:set|fused)|forcibly closed|broken pipe)"
        r"|llama runner exited, you may not have enough|Post \\?\"http://(?:127\.0\.0\.1|localhost):11434/api/(?:chat"
        r"|generate|embed\w{0,9})\\?\": EOF|CUBLAS_STATUS_(?:EXECUTION_FAILED|NOT_SUPPORTED|INTERNAL_ERROR"
        r"|ARCH_MISMATCH)",
        ("runner-crash-other",),
        'Error: POST predict: Post "http://127.0.0.1:35335/completion": EOF',
        summary="the runner died in the middle of a request",
    ),
    S(
        "model-unfit",
        "any",
        r"wrong number of tensors|missing tensor '|invalid ggml type|unknown (?:pre-?tokenizer|tokenizer)"
        r"|has wrong shape|unsupported (?:quantization|architecture|tensor)|key not found in model"
        r"|unable to load model: /|template: :\d{1,5}: function|unknown type: \w{1,20}|failed to load vocab",
        ("model-incompatible",),
        "error loading model vocabulary: unknown pre-tokenizer type: 'qwen35'",
        summary="this version of Ollama cannot read the model's file: it is newer, or made for another program",
    ),
    S(
        "weights-cut",
        "any",
        r"data is not within the file bounds|model is corrupted or incomplete|failed to read magic|invalid magic"
        r"|open /\S{1,600}/blobs/sha256[-:][0-9a-f]{64}: no such file|unexpectedly reached end of file",
        ("corrupt-manifest",),
        "tensor 'blk.1.ffn_down.weight' data is not within the file bounds, model is corrupted or incomplete",
        summary="the model's file in the store is cut, damaged or missing",
        sure=True,
    ),
    S(
        "file-system-broken",
        "any",
        r"[Ss]tructure needs cleaning|[Ss]tale (?:NFS )?file handle|[Tt]ransport endpoint is not connected"
        r"|(?:open|read|write|mkdir|stat) /\S{1,600}: input/output error",
        ("filesystem-readonly-or-inodes",),
        "read /mnt/nas/models/blobs/sha256-aa: stale NFS file handle",
        summary="the file system of the store fails: it is damaged, or its server went away",
        sure=True,
    ),
    S(
        "renamed-read-only",
        "any",
        r"(?:rename|link) /\S{1,400} (?P<path>/\S{1,400}): read-only file system",
        ("filesystem-readonly-or-inodes",),
        "Error: rename /srv/m/blobs/sha256:aa /srv/m/blobs/sha256-aa: read-only file system",
        summary="the server may read its store and not write it: the file system, or the unit's sandbox, is read-only",
    ),
    S(
        "quota-used",
        "any",
        r"[Dd]isk quota exceeded|not enough (?:free )?disk space",
        ("pull-disk-full",),
        "write /data/models/blobs/sha256-aa-partial: disk quota exceeded",
        summary="the store's file system, or its quota, is full",
        sure=True,
    ),
    S(
        "unit-absent",
        "any",
        r"Unit (?:file )?ollama(?:\.service)? (?:could not be found|not found|does not exist)"
        r"|ollama\.service: not-found"
        r"|(?:ollama: command not found|command not found: ollama)|ollama: not found$",
        ("service-not-installed",),
        "Failed to restart ollama.service: Unit ollama.service not found.",
        summary="there is no service, or no program, of the name ollama on this host",
        sure=True,
    ),
    S(
        "no-systemd",
        "any",
        r"systemd is not running|System has not been booted with systemd",
        ("service-not-running",),
        "System has not been booted with systemd as init system (PID 1). Can't operate.",
        summary="systemd does not run here (a container, WSL), so nothing starts the server",
        sure=True,
    ),
    S(
        "port-held-windows",
        "any",
        r"[Oo]nly one usage of each socket address|socket in a way forbidden by its access|[Aa]ddress already in use",
        ("port-taken",),
        "Error: listen tcp 0.0.0.0:11434: bind: Only one usage of each socket address is normally permitted.",
        summary="the port is already in use by another program on this host, often by another Ollama",
        sure=True,
    ),
    S(
        "container-killed",
        "any",
        r"\bOOMKilled\b(?!\"?:? {0,4}false)|[Ee]xit(?:ed)?(?: [Cc]ode:?| with code|\s\() {0,8}137\b",
        ("container-memory-limit-oom",),
        "ollama exited with code 137",
        summary="the container was killed (status 137), as for memory",
    ),
    S(
        "proxy-in-the-way",
        "any",
        r"(?:localhost|127\.0\.0\.1|11434)[^\n]{0,400}(?:Tunnel connection failed|Unable to connect to proxy|ProxyError"
        r"|CONNECT tunnel failed)",
        ("proxy-env-intercepts-localhost",),
        "HTTPConnectionPool(host='localhost', port=11434): ProxyError('Unable to connect to proxy')",
        summary="the client asks this host through a proxy: http_proxy is set without NO_PROXY",
        sure=True,
    ),
    S(
        "own-host-by-proxy",
        "any",
        r"\b50[234]\b (?:Service (?:Temporarily )?Unavailable|Bad Gateway|Gateway Time-?out)'? for url:? '?https?://"
        r"(?:localhost|127\.0\.0\.1)",
        ("proxy-env-intercepts-localhost",),
        "httpx.HTTPStatusError: Server error '503 Service Unavailable' for url 'http://127.0.0.1:11434/api/chat'",
        summary="a proxy answers for this host itself: the client sends requests to localhost through HTTP_PROXY",
    ),
    S(
        "mount-source-absent",
        "any",
        r"(?:statfs|bind source path does not exist:) (?P<path>/[^\s:\"]{1,300})(?:: no such file|$)",
        ("models-mount-missing",),
        "Error: statfs /var/home/ann/.ollama: no such file or directory",
        summary="the directory {path}, which the container is to mount, does not exist on the host",
        sure=True,
    ),
    S(
        "home-panic",
        "any",
        r"envconfig\.Models\(\)|\$HOME is not defined|os\.UserHomeDir",
        ("service-home-missing",),
        "github.com/ollama/ollama/envconfig.Models()",
        summary="the server has no HOME in its environment, and ends at its start",
    ),
    S(
        "swap-in-container",
        "any",
        r"swapon: (?P<path>/\S{1,300}): swapon failed: Operation not permitted"
        r"|swapon: cannot open /\S{1,300}: Permission",
        ("swapfile-unsupported-fs",),
        "swapon: /swapfile: swapon failed: Operation not permitted",
        summary="swap cannot be activated here: a container (LXC, Docker) has that of its host",
        sure=True,
    ),
    S(
        "unhealthy-dependency",
        "any",
        r"dependency failed to start: container (?P<name>\S{1,80}) is unhealthy",
        ("healthcheck-no-curl",),
        "dependency failed to start: container ollama is unhealthy",
        summary="the container {name} counts as unhealthy: its health check often runs curl, which the image lacks",
    ),
)
