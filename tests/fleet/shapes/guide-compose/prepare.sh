set -eu
# The provider guide's docker-compose.yml, without the part for GPUs.
mkdir /srv/guide
cat > /srv/guide/docker-compose.yml <<YAML
services:
  ollama:
    image: ollama/ollama
    ports:
      - "11434:11434"
    volumes:
      - ollama:/root/.ollama

volumes:
  ollama:
YAML
docker compose -f /srv/guide/docker-compose.yml up -d
timeout 60 sh -c 'until curl -sf http://127.0.0.1:11434/api/version; do sleep 0.5; done'
curl -sf http://127.0.0.1:11434/api/pull \
    -d "{\"model\":\"$fleet_services:$fleet_registry_port/library/small:latest\",\"insecure\":true,\"stream\":false}"
