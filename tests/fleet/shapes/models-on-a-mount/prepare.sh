set -eu
mkdir -m 755 /data/models
