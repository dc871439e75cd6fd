"""Faults that are put into real hosts. Each is told apart by the id that the doctor must name first.

break_ and mend are shell lines that run as root on the host; `{dropin}` is a drop-in of the unit that sorts last,
`{store}` the model store, `{model}` a model that is on the host. given are further words for the doctor, such as
`-e ollama_base_url=…`, where the fault is on the client's side or in the inventory. heals: `doctor --fix` makes the
host healthy again, given a yes for this id.
"""

from dataclasses import dataclass, replace

NATIVE, OPEN, ENGINE, MACHINE = "deb12", "deb13", "deb13-docker", "vm13"
API = "http://127.0.0.1:11434/api"
ASKED = f'curl -sS -m 60 {API}/generate -d \'{{{{"model": "{{model}}", "prompt": "Hello"}}}}\' || true'


@dataclass(frozen=True)
class Fault:
    id: str
    what: str
    host: str
    break_: str
    mend: str
    heals: bool = False
    given: tuple[str, ...] = ()
    settle: float = 0.0
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.id}-{self.what.replace(' ', '-')}"


def dropin(
    id_: str, what: str, *lines: str, host: str = NATIVE, section: str = "Service", settle: float = 0, **more: bool
) -> Fault:
    """A drop-in that somebody else wrote, and a restart."""
    text = "\\n".join(lines)
    return Fault(
        id_,
        what,
        host,
        f"printf '[{section}]\\n{text}\\n' > {{dropin}}; systemctl daemon-reload; systemctl restart ollama --no-block",
        "rm -f {dropin}; systemctl daemon-reload; systemctl reset-failed ollama; systemctl restart ollama",
        settle=settle or 2,
        **more,
    )


def simulated(id_: str, what: str, faults: str, request: str = "", *, host: str = NATIVE, **more: bool) -> Fault:
    """A fault of the simulated server, switched on by its file, and the request that meets it."""
    return Fault(
        id_,
        what,
        host,
        "printf '[Service]\\nEnvironment=REAPER_OPS_LAB_FAULTS=/var/lib/ollama/faults.json\\n' > {dropin}; "
        "systemctl daemon-reload; systemctl restart ollama; "
        f"curl -sS --retry 60 --retry-connrefused --retry-delay 1 {API}/version; "
        f"echo '{faults}' > /var/lib/ollama/faults.json; chown ollama: /var/lib/ollama/faults.json"
        + (request or f"; {ASKED}"),
        "rm -f {dropin} /var/lib/ollama/faults.json; systemctl daemon-reload; systemctl reset-failed ollama; "
        "systemctl restart ollama",
        **more,
    )


def stopped(id_: str, what: str, break_: str, mend: str = "true", **more: object) -> Fault:
    """Something that is done to a server that stands still, which is then started."""
    return Fault(
        id_,
        what,
        str(more.pop("host", NATIVE)),
        f"systemctl stop ollama; {break_}; systemctl start ollama --no-block",
        f"systemctl stop ollama; {mend}; systemctl reset-failed ollama; systemctl start ollama",
        settle=4,
        **more,  # type: ignore[arg-type]
    )


LISTENER = (
    "systemd-run --quiet --unit=fault-listener python3 -c "
    '"import http.server; http.server.HTTPServer((\\"127.0.0.1\\", 11434), http.server.SimpleHTTPRequestHandler).serve_forever()"'
)
SPOILED = "{store}/manifests/registry.ollama.ai/library/spoiled/latest"
COMPOSE = "/etc/reaper_ops/compose.yaml"
COMPOSE_UP = f"docker compose -p reaper_ops -f {COMPOSE} up -d --force-recreate"


def compose(id_: str, what: str, edit: str, *, heals: bool = True, settle: float = 3) -> Fault:
    """The Compose file edited by hand, and the container made anew from it."""
    return Fault(
        id_,
        what,
        ENGINE,
        f"cp {COMPOSE} /root/compose.bak; {edit}; {COMPOSE_UP}",
        f"mv /root/compose.bak {COMPOSE}; {COMPOSE_UP}; sleep 3",
        heals=heals,
        settle=settle,
    )


LOGGED = dropin(
    "secrets-in-logs", "proxy with a password", "Environment=HTTPS_PROXY=http://joe:s3cret-word@proxy.invalid:3128"
)
FORGET = "; journalctl --rotate; journalctl --vacuum-time=1s"

FAULTS = (
    Fault("service-not-running", "stopped", NATIVE, "systemctl stop ollama", "systemctl start ollama", heals=True),
    Fault(
        "service-not-running",
        "stopped and disabled",
        OPEN,
        "systemctl disable --now ollama",
        "systemctl enable --now ollama",
        heals=True,
    ),
    Fault("service-not-running", "container stopped", ENGINE, "docker stop ollama", "docker start ollama", heals=True),
    Fault(
        "service-not-installed",
        "unit and link gone",
        NATIVE,
        "systemctl stop ollama; mkdir /root/away; mv /etc/systemd/system/ollama.service /etc/systemd/system/ollama.service.d "
        "/root/away/; systemctl daemon-reload",
        "mv -n /root/away/* /etc/systemd/system/; rm -rf /root/away; systemctl daemon-reload; systemctl start ollama",
        heals=True,
    ),
    dropin("service-crash-looping", "program that fails", "ExecStart=", "ExecStart=/bin/false", settle=30),
    dropin("bad-origins-panic", "origin without a known scheme", "Environment=OLLAMA_ORIGINS=ftp://nowhere", settle=30),
    dropin("bind-address-missing", "address of no interface", "Environment=OLLAMA_HOST=10.99.99.99:11434", settle=30),
    stopped("port-taken", "another program listens", LISTENER, "systemctl stop fault-listener"),
    Fault(
        "second-instance",
        "server started by hand",
        NATIVE,
        "OLLAMA_HOST=127.0.0.1:11435 HOME=/root systemd-run --quiet --slice=user.slice --unit=fault-second --setenv=HOME=/root "
        "--setenv=OLLAMA_HOST=127.0.0.1:11435 /usr/local/bin/ollama serve",
        "systemctl stop fault-second; rm -rf /root/.ollama",
        settle=2,
    ),
    dropin("listening-loopback-only", "bound to loopback", "Environment=OLLAMA_HOST=127.0.0.1:11434", host=OPEN),
    dropin("exposed-unauthenticated", "bound to all addresses", "Environment=OLLAMA_HOST=0.0.0.0:11434"),
    dropin("origins-wildcard", "any origin", "Environment=OLLAMA_ORIGINS=*"),
    dropin("runs-as-root", "no user", "User=root", "Group=root"),
    replace(LOGGED, mend=LOGGED.mend + FORGET),
    dropin("unknown-env-var", "a name that does not exist", "Environment=OLLAMA_NUM_CTX=4096"),
    dropin("env-value-invalid", "a number in words", "Environment=OLLAMA_NUM_PARALLEL=four"),
    dropin(
        "unit-sandbox-blocks", "store out of the unit's sight", "InaccessiblePaths=/var/lib/ollama/models", settle=30
    ),
    dropin("cpu-quota-or-no-avx", "a tenth of a core", "CPUQuota=10%%", settle=6),
    Fault(
        "unit-config-not-applied",
        "drop-in without reload",
        NATIVE,
        "printf '[Service]\\nEnvironment=OLLAMA_KEEP_ALIVE=1h\\n' > {dropin}",
        "rm -f {dropin}; systemctl daemon-reload; systemctl restart ollama",
    ),
    Fault(
        "unit-config-not-applied",
        "our own settings edited",
        OPEN,
        "sed -i 's/OLLAMA_KEEP_ALIVE=10m/OLLAMA_KEEP_ALIVE=99m/' /etc/systemd/system/ollama.service.d/zz-reaper_ops.conf; "
        "systemctl daemon-reload",
        "sed -i 's/OLLAMA_KEEP_ALIVE=99m/OLLAMA_KEEP_ALIVE=10m/' /etc/systemd/system/ollama.service.d/zz-reaper_ops.conf; "
        "systemctl daemon-reload; systemctl restart ollama",
        heals=True,
    ),
    Fault(
        "firewall-drop",
        "port dropped",
        OPEN,
        "iptables -I INPUT -p tcp --dport 11434 ! -i lo -j DROP",
        "iptables -D INPUT -p tcp --dport 11434 ! -i lo -j DROP",
    ),
    Fault(
        "firewall-reject",
        "port rejected as firewalld does",
        OPEN,
        "iptables -I INPUT -p tcp --dport 11434 ! -i lo -j REJECT --reject-with icmp-host-prohibited",
        "iptables -D INPUT -p tcp --dport 11434 ! -i lo -j REJECT --reject-with icmp-host-prohibited",
    ),
    Fault(
        "dns-failure",
        "a name nobody knows",
        OPEN,
        "true",
        "true",
        given=("-e", "ollama_base_url=http://nosuch.invalid:11434"),
    ),
    Fault(
        "scheme-mismatch",
        "https to plain http",
        OPEN,
        "true",
        "true",
        given=("-e", "ollama_base_url=https://{address}:11434"),
    ),
    Fault(
        "server-hung",
        "process stopped by a signal",
        NATIVE,
        "pid=$(systemctl show -p MainPID --value ollama); "
        "while [ $(ps -o etimes= -p $pid) -lt 125 ]; do sleep 1; done; kill -STOP $pid",
        "kill -CONT $(systemctl show -p MainPID --value ollama)",
        heals=True,
    ),
    simulated(
        "starting-up",
        "silent while it looks for GPUs",
        '{{"slow-start": {{"seconds": 90}}}}',
        "; systemctl restart ollama",
    ),
    simulated("queue-full-503", "queue full", '{{"503": {{}}}}', "; for n in 1 2 3 4; do " + ASKED + "; done"),
    simulated("ram-preflight-refused", "refused before the load", '{{"oom-old": {{}}}}'),
    Fault(
        "systemd-memorymax-oom",
        "unit's limit too low",
        NATIVE,
        'echo \'{{"memory": {{"bytes": 314572800}}}}\' > /var/lib/ollama/faults.json; chown ollama: /var/lib/ollama/faults.json; '
        "printf '[Service]\\nEnvironment=REAPER_OPS_LAB_FAULTS=/var/lib/ollama/faults.json\\nMemoryMax=150M\\nMemorySwapMax=0\\n' > {dropin}; "
        "systemctl daemon-reload; systemctl restart ollama; "
        f"curl -sS --retry 60 --retry-connrefused --retry-delay 1 {API}/version; "
        f'curl -sS -m 120 {API}/generate -d \'{{{{"model": "{{model}}", "prompt": "Hello"}}}}\' || true',
        "rm -f {dropin} /var/lib/ollama/faults.json; systemctl daemon-reload; systemctl restart ollama",
    ),
    Fault(
        "systemd-memorymax-oom",
        "and the vendor's policy stops the unit",
        MACHINE,
        'echo \'{{"memory": {{"bytes": 314572800}}}}\' > /var/lib/ollama/faults.json; chown ollama: /var/lib/ollama/faults.json; '
        "printf '[Service]\\nEnvironment=REAPER_OPS_LAB_FAULTS=/var/lib/ollama/faults.json\\nMemoryMax=150M\\nMemorySwapMax=0\\n"
        "OOMPolicy=stop\\nRestart=no\\n' > {dropin}; systemctl daemon-reload; systemctl restart ollama; "
        f"curl -sS --retry 60 --retry-connrefused --retry-delay 1 {API}/version; "
        f'curl -sS -m 120 {API}/generate -d \'{{{{"model": "{{model}}", "prompt": "Hello"}}}}\' || true; sleep 2',
        "rm -f {dropin} /var/lib/ollama/faults.json; systemctl daemon-reload; systemctl reset-failed ollama; systemctl restart ollama",
        also=("oompolicy-stops-service",),
    ),
    Fault(
        "container-memory-limit-oom",
        "container's limit too low",
        ENGINE,
        'docker exec ollama sh -c \'echo {{\\"memory\\": {{\\"bytes\\": 314572800}}}} > /root/.ollama/faults.json\'; '
        f"cp {COMPOSE} /root/compose.bak; "
        f"sed -i 's,^\\( *\\)OLLAMA_HOST:.*,&\\n\\1REAPER_OPS_LAB_FAULTS: /root/.ollama/faults.json,' {COMPOSE}; {COMPOSE_UP}; "
        "docker update --memory 150m --memory-swap 150m ollama; "
        f"curl -sS --retry 60 --retry-all-errors --retry-delay 1 {API}/version; "
        f'curl -sS -m 120 {API}/generate -d \'{{{{"model": "{{model}}", "prompt": "Hello"}}}}\' || true; sleep 1',
        f"docker exec ollama rm -f /root/.ollama/faults.json; mv /root/compose.bak {COMPOSE}; {COMPOSE_UP}; sleep 3",
    ),
    stopped(
        "models-dir-permission",
        "store of another user",
        "chown -R root:root {store}; chmod 0700 {store}",
        "chown -R ollama:ollama {store}; chmod 0755 {store}",
        heals=True,
    ),
    stopped(
        "filesystem-readonly-or-inodes",
        "store on a read-only file system",
        "mount --bind {store} {store}; mount -o remount,ro,bind {store}",
        "umount {store}",
    ),
    stopped(
        "filesystem-readonly-or-inodes",
        "no inodes left",
        "cp -a {store} /root/store.bak; mount -t tmpfs -o nr_inodes=40 tmpfs {store}; cp -a /root/store.bak/. {store}/; "
        "i=0; while touch {store}/x$i 2>/dev/null; do i=$((i+1)); done",
        "umount {store}; rm -rf /root/store.bak",
    ),
    stopped(
        "pull-disk-full",
        "no space left for a pull",
        "cp -a {store} /root/store.bak; mount -t tmpfs -o size=2M tmpfs {store}; cp -a /root/store.bak/. {store}/; "
        "head -c 2M /dev/zero > {store}/full 2>/dev/null; chown -R ollama: {store}; (sleep 2; curl -sS -m 60 "
        f'--retry 20 --retry-connrefused --retry-delay 1 {API}/pull -d \'{{{{"model": "{{second}}", "insecure": true}}}}\') & sleep 0',
        "umount {store}; rm -rf /root/store.bak",
    ),
    Fault(
        "corrupt-manifest",
        "garbage in a manifest",
        NATIVE,
        f"mkdir -p $(dirname {SPOILED}); echo garbage > {SPOILED}; chown -R ollama: {{store}}/manifests; systemctl restart ollama",
        f"rm -rf $(dirname {SPOILED}); systemctl restart ollama",
        heals=False,
        settle=2,
    ),
    Fault(
        "corrupt-manifest",
        "truncated blob",
        OPEN,
        "truncate -s 100 {store}/blobs/$(ls -S {store}/blobs | head -1); systemctl restart ollama",
        "systemctl stop ollama; rm -rf {store}/manifests/* {store}/blobs/*; systemctl reset-failed ollama; systemctl start ollama",
        settle=2,
        heals=True,
    ),
    Fault(
        "orphaned-blobs",
        "a large blob that no manifest names",
        NATIVE,
        "fallocate -l 2G {store}/blobs/sha256-"
        + "0" * 64
        + "; touch -d '3 hours ago' {store}/blobs/*; chown ollama: {store}/blobs/*",
        "rm -f {store}/blobs/sha256-" + "0" * 64,
    ),
    Fault(
        "pull-partial-corrupt",
        "empty record of a part",
        NATIVE,
        "for n in '' -0; do : > {store}/blobs/sha256-"
        + "1" * 64
        + "-partial$n; done; touch -d '3 hours ago' {store}/blobs/*; chown ollama: {store}/blobs/*",
        "rm -f {store}/blobs/sha256-" + "1" * 64 + "-partial*",
    ),
    Fault(
        "models-split-between-users",
        "the models lie in another store",
        NATIVE,
        "systemctl stop ollama; rm -rf /root/.ollama; mkdir /root/.ollama; mv {store} /root/.ollama/models; install -d -o ollama -g ollama {store}; systemctl start ollama",
        "systemctl stop ollama; rm -rf {store}; mv /root/.ollama/models {store}; rmdir /root/.ollama 2>/dev/null; systemctl start ollama",
        settle=2,
    ),
    Fault(
        "models-mount-missing",
        "store of fstab not mounted",
        NATIVE,
        "systemctl stop ollama; cp -a {store} /root/store.bak; rm -rf {store}/*; echo '/dev/disk/by-label/models {store} ext4 nofail 0 2' >> /etc/fstab; "
        "systemctl start ollama",
        "systemctl stop ollama; sed -i '/by-label.models/d' /etc/fstab; cp -a /root/store.bak/. {store}/; rm -rf /root/store.bak; systemctl start ollama",
        settle=2,
    ),
    Fault(
        "model-not-found",
        "a promised model removed",
        OPEN,
        f'curl -sS -X DELETE {API}/delete -d \'{{{{"model": "{{model}}"}}}}\'',
        "true",
        heals=True,
    ),
    Fault(
        "version-skew",
        "an older client on the path",
        NATIVE,
        "printf '#!/bin/sh\\necho ollama version is 0.5.1\\n' > /usr/bin/ollama; chmod 755 /usr/bin/ollama",
        "rm -f /usr/bin/ollama",
    ),
    Fault(
        "no-swap",
        "the wished swap switched off",
        OPEN,
        "swapoff /data/swapfile",
        "swapon /data/swapfile",
        heals=True,
    ),
    compose(
        "container-port-not-published",
        "no ports",
        f"sed -i '/ports:/,+1d' {COMPOSE}",
    ),
    compose(
        "container-binds-loopback",
        "bound to the container's own loopback",
        f"sed -i 's,OLLAMA_HOST:.*,OLLAMA_HOST: \"127.0.0.1:11434\",' {COMPOSE}",
    ),
    compose(
        "healthcheck-no-curl",
        "health check with a program that is not there",
        'sed -i \'/ test:/,/grep -q/c\\      test: ["CMD"\\, "wget"\\, "http://127.0.0.1:11434"]\' '.replace("\\,", ",")
        + f"{COMPOSE}; sed -i 's,interval: 30s,interval: 1s,; s,start_interval.*,start_interval: 1s,; s,start_period.*,start_period: 1s,' {COMPOSE}",
        settle=12,
    ),
    compose(
        "volume-not-persisted",
        "store inside the container",
        f"sed -i '/- ollama:.root/d; s,^\\( *\\)volumes:$,\\1x-volumes:,' {COMPOSE}",
    ),
    Fault(
        "pull-x509-time",
        "clock ten days behind",
        MACHINE,
        "date -s '10 days ago'",
        "true",
        settle=1,
    ),
)
