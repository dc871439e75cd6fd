set -eu
useradd -r -m -d /home/ollama-files ollama
mkdir -p /opt/ollama /etc/reaper_ops /var/lib/ollama
echo mine | tee /opt/ollama/notes.txt /etc/reaper_ops/own.txt /var/lib/ollama/own.txt
chown -R ollama:ollama /var/lib/ollama
