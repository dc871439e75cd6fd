set -eu
# SSH answers the jump host alone.
iptables -A INPUT -p tcp --dport 22 ! -s "$jump" -j DROP
