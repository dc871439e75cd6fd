set -eu
# The guide's first command: no volume, so the models are in the container itself.
docker run -d -p 11434:11434 --name ollama ollama/ollama
timeout 60 sh -c 'until curl -sf http://127.0.0.1:11434/api/version; do sleep 0.5; done'
curl -sf http://127.0.0.1:11434/api/pull -d "{\"model\":\"$fleet_services:$fleet_registry_port/library/small:latest\",\"insecure\":true,\"stream\":false}"
