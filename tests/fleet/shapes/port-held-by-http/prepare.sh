set -eu
mkdir /srv/www
systemd-run -q --unit website --uid nobody -p WorkingDirectory=/srv/www python3 -m http.server 11434 --bind 127.0.0.1
timeout 20 sh -c 'until curl -so /dev/null http://127.0.0.1:11434/; do sleep 0.3; done'
