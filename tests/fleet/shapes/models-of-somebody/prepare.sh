set -eu
useradd -m -s /bin/bash alice
install -d -o alice -g alice /data/models/blobs
echo mine > /data/models/blobs/notes
