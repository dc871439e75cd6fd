set -eu
# As the provider guide says, with a model that is the user's own.
docker run -d -p 11434:11434 -v ollama:/root/.ollama -e OLLAMA_KEEP_ALIVE=7m --restart always --name ollama ollama/ollama
timeout 60 sh -c 'until curl -sf http://127.0.0.1:11434/api/version; do sleep 0.5; done'
docker exec ollama ollama pull --insecure "$fleet_services:$fleet_registry_port/library/small:latest" ||
    curl -sf http://127.0.0.1:11434/api/pull -d "{\"model\":\"$fleet_services:$fleet_registry_port/library/small:latest\",\"insecure\":true,\"stream\":false}"
