set -eu
install -m 755 /root/vendor/bin/ollama /usr/bin/ollama-beta
useradd -r -m -d /srv/beta beta
cat > /etc/systemd/system/ollama-beta.service <<UNIT
[Service]
ExecStart=/usr/bin/ollama-beta serve
User=beta
Environment=HOME=/srv/beta OLLAMA_HOST=127.0.0.1:11500
[Install]
WantedBy=multi-user.target
UNIT
cat > /etc/systemd/system/ollama-prune.service <<UNIT
[Service]
Type=oneshot
ExecStart=/bin/true
UNIT
cat > /etc/systemd/system/ollama-prune.timer <<UNIT
[Timer]
OnCalendar=weekly
[Install]
WantedBy=timers.target
UNIT
systemctl daemon-reload
systemctl enable --now ollama-beta.service ollama-prune.timer
