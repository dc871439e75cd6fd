set -eu
echo 'Port 2222' > /etc/ssh/sshd_config.d/port.conf
systemctl restart ssh
