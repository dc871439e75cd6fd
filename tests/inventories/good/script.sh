#!/bin/sh
cat <<'JSON'
{"gpu": {"hosts": ["gpu1"], "vars": {"gpu_vendor": "nvidia"}}, "_meta": {"hostvars": {"gpu1": {"ollama_port": 11500}}}}
JSON
