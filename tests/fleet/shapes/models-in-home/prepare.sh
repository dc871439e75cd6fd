set -eu
useradd -m -s /bin/bash alice
