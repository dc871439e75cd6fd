"""The outside world: processes, Ansible, HTTP, Docker."""
