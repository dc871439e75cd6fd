#!/bin/sh
echo 'no connection to the CMDB' >&2
exit 3
