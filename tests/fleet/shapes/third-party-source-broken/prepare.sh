set -eu
echo 'deb [signed-by=/etc/apt/keyrings/gone.asc] http://127.0.0.1:9/third stable main' > /etc/apt/sources.list.d/third.list
