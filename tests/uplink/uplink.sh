#!/bin/sh
# Guests reach what the host reaches, on a host of its own: a network namespace
# with nothing but a loopback, and servers on it. Ends with
# "N passed, N failed".
#   uplink.sh PROVIUM
set -eu

if [ "${2-}" != inside ]; then
	map=
	[ "$(id -u)" = 0 ] || map=-r
	# shellcheck disable=SC2086 # an option or none
	exec unshare $map -n -m sh "$0" "$(readlink -f "$1")" inside
fi

here=$(dirname "$(readlink -f "$0")")
work=$(mktemp -d "${TMPDIR:-/tmp}/uplink.XXXXXX")
servers=
trap '[ -z "$servers" ] || kill "$servers"; rm -rf "$work"' EXIT

ip link set lo up
ip address add 192.0.2.80/32 dev lo
echo nameserver 127.0.0.1 >"$work/resolv.conf"
mount --bind "$work/resolv.conf" "$(readlink -f /etc/resolv.conf)"

mkfifo "$work/ready"
python3 "$here/servers.py" >"$work/ready" &
servers=$!
read -r word <"$work/ready"
[ "$word" = ready ]
# provium takes files whose names end in .test.lua.
ln -s "$here/uplink.scripted.lua" "$work/uplink.test.lua"
"$1" run "$work/uplink.test.lua"
