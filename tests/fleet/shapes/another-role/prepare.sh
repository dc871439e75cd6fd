set -eu
# As other roles do it: a system user with its home elsewhere, an environment file, a unit of their own.
useradd -r -s /usr/sbin/nologin -m -d /srv/llm ollama
cp -r /root/vendor/. /usr/local/
mkdir /etc/ollama
printf 'OLLAMA_HOST=127.0.0.1:11434\nOLLAMA_MODELS=/srv/llm/models\nOLLAMA_KEEP_ALIVE=1h\n' > /etc/ollama/ollama.env
cat > /etc/systemd/system/ollama.service <<UNIT
# Ansible managed
[Unit]
After=network-online.target

[Service]
EnvironmentFile=/etc/ollama/ollama.env
ExecStart=/usr/local/bin/ollama serve
User=ollama
Group=ollama
Restart=always

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --now ollama
timeout 20 sh -c 'until curl -sf http://127.0.0.1:11434/api/version; do sleep 0.3; done'
