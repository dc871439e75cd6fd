"""A simulated Ollama server: same words, API, disk layout and log lines, no inference. Standard library only."""

VERSION = "0.35.1-lab.1"
