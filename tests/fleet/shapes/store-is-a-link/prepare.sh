set -eu
mkdir -m 755 /data/ollama
ln -s /data/ollama /var/lib/ollama
