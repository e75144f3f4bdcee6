#!/bin/busybox sh
# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# In the default guest: configures the NICs that are on provium's bridges, by
# DHCP, all at once. provium runs it when the agent has answered, with a - for
# each that has no cable; and when a cable is put in or pulled later:
#
#	provium-net MAC=BRIDGE|-...
#	provium-net up|down|back NUMBER MAC=BRIDGE
#
# Of an IPv6 network, BRIDGE,ADDRESS,GATEWAY.
#
# Its shell is busybox, whatever /bin/sh is: it runs busybox's own commands.
# It is also the program that udhcpc runs for each event of a lease. To start
# a program costs milliseconds where the CPU is emulated: what the shell can
# do by itself, it does.
state=/run/provium-net

complain() {
	echo "$1" >&2
	echo "provium-net: $1" >/dev/console
}

# --- for udhcpc ---------------------------------------------------------------

# What is one for the whole guest (names) is left for when all NICs are up.
# shellcheck disable=SC2154 # its variables are in the environment
bound() {
	ifconfig "$interface" "$ip" netmask "$subnet" \
		${mtu:+mtu "$mtu"} ${broadcast:+broadcast "$broadcast"}
	for gateway in $router; do
		ip route add default via "$gateway" dev "$interface" \
			metric "$slot"
		break
	done
	# One line each, for read.
	printf '%s\n' "$dns" "${search:-$domain}" "$hostname" \
		>"$state/$slot.lease"
}

# --- for provium --------------------------------------------------------------

# Sets nic to the interface that has this MAC.
find_nic() {
	for path in /sys/class/net/*; do
		read -r address <"$path/address"
		nic=${path##*/}
		[ "$address" = "$1" ] && return 0
	done
	complain "no interface has the address $1 of the NIC on bridge $2: is \
the driver virtio_net there?"
	return 1
}

# The address that the kernel makes by itself of what the gateway announces, a
# second later, or on a busy machine before we come to it; nobody else has it.
# If the kernel adds it between its own look and its own addition for us, replace
# fails with EEXIST (inet6_rtm_newaddr()), and then finds the address.
configure_ipv6() {
	echo 0 >"/proc/sys/net/ipv6/conf/$nic/accept_dad" &&
		{
			ip address replace "${1%,*}/64" dev "$nic" 2>/dev/null ||
				ip address replace "${1%,*}/64" dev "$nic"
		} &&
		ip route replace default via "${1#*,}" dev "$nic" metric "$slot" &&
		return
	complain "NIC $nic on bridge $bridge got no IPv6 address: does the \
kernel have IPv6?"
	return 1
}

# No answer within 15 s: there will be none.
configure() {
	bridge=${2%%,*}
	find_nic "$1" "$bridge" || return 1
	ip link set "$nic" up
	[ "$2" = "$bridge" ] || configure_ipv6 "${2#*,}" || return 1
	udhcpc -f -n -q -t 15 -T 1 -O search -O mtu -i "$nic" -s "$0" \
		>"$state/$slot.log" 2>&1 && return 0
	while read -r line; do
		last=$line
	done <"$state/$slot.log"
	complain "NIC $nic on bridge $bridge got no address by DHCP: $last"
	return 1
}

# In the order of the NICs: whose name server is asked first, and who names
# the guest.
set_names() {
	servers=
	domains=
	name=
	for file in "$state"/*.lease; do
		[ -e "$file" ] || continue
		{
			read -r dns
			read -r search
			read -r hostname
		} <"$file"
		servers="$servers $dns"
		domains="$domains $search"
		name=${name:-$hostname}
	done
	{
		echo "search$domains"
		echo "options timeout:1 attempts:5" # the next one is as good
		for server in $servers; do
			echo "nameserver $server"
		done
	} >/etc/resolv.conf
	[ -z "$name" ] || echo "$name" >/proc/sys/kernel/hostname
}

# What was configured, forgotten.
forget() {
	rm -f "$state/$slot.lease"
	find_nic "$1" "$2" || return 1
	ip address flush dev "$nic" scope global
	ip -6 route flush dev "$nic" 2>/dev/null
	return 0
}

# --- which of them ------------------------------------------------------------

FIRST=10 # two digits, so that the file names sort
verb=all
case $1 in
bound)
	bound
	exit
	;;
up | down | back)
	verb=$1
	FIRST=$((FIRST + $2))
	shift 2
	;;
*=* | -) ;;
*) # other events of udhcpc
	exit 0
	;;
esac

# To close a packet socket the kernel waits for an RCU grace period, some 20 ms;
# udhcpc closes four.
hurry=/sys/kernel/rcu_expedited
[ ! -w "$hurry" ] || {
	read -r as_before <"$hurry"
	echo 1 >"$hurry"
}
mkdir -p "$state"
status=0
slot=$FIRST
jobs=
export slot
for arg; do
	case $verb$arg in
	*-) ;;
	back*) [ -e "$state/$slot.lease" ] || configure "${arg%%=*}" "${arg#*=}" ;;
	down*) forget "${arg%%=*}" "${arg#*=}" || status=1 ;;
	*)
		configure "${arg%%=*}" "${arg#*=}" &
		jobs="$jobs $!"
		;;
	esac
	slot=$((slot + 1))
done
for job in $jobs; do
	wait "$job" || status=1
done
set_names
[ -z "$as_before" ] || echo "$as_before" >"$hurry"
exit "$status"
