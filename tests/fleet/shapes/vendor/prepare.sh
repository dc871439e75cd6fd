set -eu
# As the vendor's install.sh leaves a host, and then `systemctl edit ollama`.
cp -r /root/vendor/bin /root/vendor/lib /usr/local/ 2>/dev/null || cp -r /root/vendor/bin /usr/local/
useradd -r -s /bin/false -U -m -d /usr/share/ollama ollama
cat > /etc/systemd/system/ollama.service <<UNIT
[Unit]
Description=Ollama Service
After=network-online.target

[Service]
ExecStart=/usr/local/bin/ollama serve
User=ollama
Group=ollama
Restart=always
RestartSec=3
Environment="PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

[Install]
WantedBy=default.target
UNIT
mkdir /etc/systemd/system/ollama.service.d
printf '[Service]\nEnvironment="OLLAMA_HOST=0.0.0.0"\n' > /etc/systemd/system/ollama.service.d/override.conf
systemctl daemon-reload
systemctl enable --now ollama
timeout 30 sh -c 'until curl -sf http://127.0.0.1:11434/api/version; do sleep 0.3; done'
