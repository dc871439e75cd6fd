set -eu
cat > /usr/local/sbin/unattended-example <<'PY'
#!/usr/bin/python3
import fcntl, time
locks = [open(path, "w") for path in ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock")]
for lock in locks:
    fcntl.lockf(lock, fcntl.LOCK_EX)
time.sleep(100000)
PY
chmod 755 /usr/local/sbin/unattended-example
systemd-run -q --unit upgrades-example /usr/local/sbin/unattended-example
sleep 1
