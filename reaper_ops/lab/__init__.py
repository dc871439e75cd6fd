"""The rehearsal fleet: simulated Ollama, registry and release server. Standard library only."""
