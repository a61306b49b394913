#!/bin/sh
# Becomes the supervisor of the given program. WARIFU_CONFIG says where the agent's configuration is; WARIFU_ONCE=1
# only renders and then becomes the program, for jobs that end before anything changes.
set -eu
config=${WARIFU_CONFIG:-/etc/warifu-agent/agent.hcl}
[ "$#" -gt 0 ] || { echo "entrypoint: no program is given" >&2; exit 64; }
[ "${WARIFU_ONCE:-0}" = 1 ] && exec "${WARIFU_BIN:-warifu}" run -config="$config" -- "$@"
exec "${WARIFU_BIN:-warifu}" run -config="$config" -supervise -- "$@"
