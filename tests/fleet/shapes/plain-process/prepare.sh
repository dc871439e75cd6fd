set -eu
useradd -m -s /bin/bash alice
install -d -m 700 -o alice -g alice /home/alice/.ssh
install -m 600 -o alice -g alice /root/.ssh/authorized_keys /home/alice/.ssh/authorized_keys
apt-get -qq update
apt-get -qqy install zstd >/dev/null
