set -eu
rm -rf /var/lib/apt/lists/*
echo 'deb http://127.0.0.1:9/debian bookworm main' > /etc/apt/sources.list
rm -f /etc/apt/apt.conf.d/90fleet
