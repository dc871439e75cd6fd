set -eu
dd if=/dev/zero of=/data/own-swapfile bs=1M count=16 status=none
chmod 600 /data/own-swapfile
mkswap -q /data/own-swapfile >/dev/null
swapon /data/own-swapfile
echo '/data/own-swapfile none swap sw 0 0' >> /etc/fstab
