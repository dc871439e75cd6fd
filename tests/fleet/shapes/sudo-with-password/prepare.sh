set -eu
useradd -m -s /bin/bash deploy
echo 'deploy:correct horse' | chpasswd
install -d -m 700 -o deploy -g deploy /home/deploy/.ssh
install -m 600 -o deploy -g deploy /root/.ssh/authorized_keys /home/deploy/.ssh/authorized_keys
echo 'deploy ALL=(ALL) ALL' > /etc/sudoers.d/deploy
