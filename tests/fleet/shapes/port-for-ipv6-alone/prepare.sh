set -eu
cat > /usr/local/bin/six <<PROGRAM
import socket, time
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
s.bind(("::", 11434))
s.listen()
time.sleep(100000)
PROGRAM
systemd-run -q --unit six python3 /usr/local/bin/six
timeout 20 sh -c 'until ss -ltn | grep -q "\[::\]:11434"; do sleep 0.3; done'
