set -eu
rm -f /usr/bin/python3 /usr/bin/python3.*
