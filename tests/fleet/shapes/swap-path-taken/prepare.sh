set -eu
dd if=/dev/zero of=/data/swapfile bs=1M count=16 status=none
chmod 600 /data/swapfile
mkswap -q /data/swapfile >/dev/null
swapon /data/swapfile
echo '/data/swapfile none swap sw 0 0' >> /etc/fstab
