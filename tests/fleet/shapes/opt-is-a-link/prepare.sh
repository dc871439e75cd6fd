set -eu
rmdir /opt
mkdir -m 755 /data/opt
ln -s /data/opt /opt
