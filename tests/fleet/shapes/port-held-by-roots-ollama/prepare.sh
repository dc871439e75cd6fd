set -eu
cp -r /root/vendor /opt/by-hand
cd /root
HOME=/root nohup setsid /opt/by-hand/bin/ollama serve >/dev/null 2>&1 </dev/null &
timeout 20 sh -c 'until curl -sf http://127.0.0.1:11434/api/version; do sleep 0.3; done'
