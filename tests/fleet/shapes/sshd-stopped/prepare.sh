set -eu
systemctl stop ssh.socket ssh.service 2>/dev/null || systemctl stop ssh
