set -eu
printf 'LANG=de_DE.UTF-8\nLC_ALL=de_DE.UTF-8\n' > /etc/default/locale
printf 'LANG=de_DE.UTF-8\nLC_ALL=de_DE.UTF-8\n' >> /etc/environment
