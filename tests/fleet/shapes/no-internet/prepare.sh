set -eu
apt-get -qq update
apt-get -qqy install zstd >/dev/null
# The local network is there; releases and registry are not, and no mirror of packages.
for port in "$fleet_release_port" "$fleet_registry_port" 53 80 443 3128; do
    iptables -A OUTPUT -p tcp --dport "$port" -j REJECT --reject-with tcp-reset
    iptables -A OUTPUT -p udp --dport "$port" -j REJECT
done
