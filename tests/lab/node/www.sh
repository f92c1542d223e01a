#!/bin/sh
# The "internet" of the lab answers with the address it was asked from.
printf 'Content-Type: application/json\r\nX-Powered-By: tiny/1.0\r\n\r\n'
printf '{"peer":"%s","path":"%s"}\n' "$REMOTE_ADDR" "$REQUEST_URI"
