set -eu
# The vendor's installation; its address comes from a file of variables, which beats Environment= of any drop-in.
cp -r /root/vendor/bin /root/vendor/lib /usr/local/
useradd -r -s /bin/false -U -m -d /usr/share/ollama ollama
printf 'OLLAMA_HOST=0.0.0.0\nSITE_TAG=rack-7\n' > /etc/default/ollama
cat > /etc/systemd/system/ollama.service <<UNIT
[Unit]
Description=Ollama Service

[Service]
ExecStart=/usr/local/bin/ollama serve
User=ollama
Group=ollama
Restart=always
EnvironmentFile=-/etc/default/ollama

[Install]
WantedBy=default.target
UNIT
systemctl daemon-reload
systemctl start ollama
timeout 30 sh -c 'until curl -sf http://127.0.0.1:11434/api/version; do sleep 0.3; done'
