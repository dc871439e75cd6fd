set -eu
docker run -d -p 11434:11434 -v ollama:/root/.ollama --name ollama ollama/ollama
timeout 60 sh -c 'until curl -sf http://127.0.0.1:11434/api/version; do sleep 0.5; done'
