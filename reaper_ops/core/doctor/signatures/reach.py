"""Texts about reaching a server: its start, its port, Docker, firewalls, tasks that hang."""

from __future__ import annotations

from reaper_ops.core.doctor.signatures.model import Signature as S

TABLE = (
    S(
        "bind-name-unknown",
        "log",
        r"listen tcp: lookup (?P<addr>[^\s:]{1,512})(?: on \S{1,256})?: (?:no such host|server misbehaving)",
        ("bind-address-missing",),
        "ollama[374]: listen tcp: lookup nosuch.invalid: no such host",
    ),
    S(
        "port-invalid",
        "log",
        r'msg="invalid port, using default" port=(?P<port>\S{1,256})',
        (),
        'level=WARN source=config.go:51 msg="invalid port, using default" port=99999 default=11434',
    ),
    S(
        "server-config",
        "log",
        r'^.{0,300}?msg="server config" env="map\[(?P<env>.{0,4000})\]"',
        (),
        'level=INFO source=routes.go:1951 msg="server config" env="map[HTTPS_PROXY: OLLAMA_DEBUG:INFO no_proxy:]"',
    ),
    S(
        "docker-port-taken",
        "docker",
        r"[Bb]ind for (?P<addr>\S{1,256}:\d{1,20}) failed: port is already allocated"
        r"|failed to bind (?:host )?port (?:for )?(?P<at>\S{1,256}?)(?::\S{1,256})?: address already in use"
        r"|listen tcp4? (?P<on>\S{1,256}): bind: address already in use",
        ("port-taken",),
        "driver failed programming external connectivity on endpoint ollama (0a1b): "
        "Bind for 127.0.0.1:11434 failed: port is already allocated",
    ),
    S(
        "healthcheck-no-program",
        "docker",
        r'exec: \\?"(?P<program>[\w./-]{1,128})\\?": executable file not found'
        r"|: (?P<name>curl|wget): (?:command )?not found",
        ("healthcheck-no-curl",),
        'OCI runtime exec failed: exec failed: unable to start container process: exec: "curl": '
        "executable file not found in $PATH: unknown",
    ),
    S(
        "firewall-drops",
        "firewall",
        r"hook input .{0,200}policy drop|-P INPUT DROP|[Dd]efault: deny \(incoming\)|^\s{0,20}target: DROP"
        r"|-A (?:INPUT|ufw[\w-]{0,30}-input|DOCKER-USER) "
        r"(?:(?>(?:(?!-[jA] |--dports? |--ctorigdstport ).){0,300})--(?:dports?|ctorigdstport) (?P<ports>\S{1,256}) "
        r"(?>(?:(?!-[jA] ).){0,300}))?-j DROP"
        r"|dport (?P<dport>\d{1,20}) (?:.{0,200} )?drop$",
        ("firewall-drop",),
        "-P INPUT DROP",
    ),
    S(
        "firewall-rejects",
        "firewall",
        r"^\s{0,20}reject(?: with .{0,200})?$|[Dd]efault: reject \(incoming\)|^\s{0,20}target: (?:default|%%REJECT%%)"
        r"|-A (?:INPUT|ufw[\w-]{0,30}-input|DOCKER-USER) "
        r"(?:(?>(?:(?!-[jA] |--dports? |--ctorigdstport ).){0,300})--(?:dports?|ctorigdstport) (?P<ports>\S{1,256}) "
        r"(?>(?:(?!-[jA] ).){0,300}))?-j REJECT"
        r"|dport (?P<dport>\d{1,20}) (?:.{0,200} )?reject",
        ("firewall-reject",),
        "-A INPUT -j REJECT --reject-with icmp-host-prohibited",
    ),
    S(
        "hung-task",
        "kernel",
        r"task (?P<comm>\S{1,256}):(?P<pid>\d{1,20}) blocked for more than (?P<seconds>\d{1,20}) seconds",
        ("server-hung",),
        "INFO: task llama-server:1234 blocked for more than 120 seconds.",
    ),
    S(
        "server-died",
        "log",
        r"(?:^|\]: )(?:Error: |panic: |fatal error: )\S",
        (),
        "ollama[374]: Error: could not read the key",
    ),
)
