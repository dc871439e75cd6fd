"""Provision Ollama hosts, keep them healthy, and name the cause when they are not."""

__version__ = "0.1.0"
