set -eu
mkdir -m 755 /data/models
mount -o remount,ro,bind /data
