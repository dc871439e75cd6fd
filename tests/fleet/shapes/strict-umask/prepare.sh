set -eu
echo 'umask 077' >> /etc/profile
echo 'umask 077' >> /root/.bashrc
sed -i '1i umask 077' /root/.bashrc
