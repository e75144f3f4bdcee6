#!/bin/sh
# Bridges of the kernel's, on a host of its own: a network namespace with
# nothing but a loopback. Needs root, or the right to make namespaces and a
# /dev/net/tun that opens. Ends with "N passed, N failed".
#   knet.sh PROVIUM
set -u

if [ "${2-}" != inside ]; then
	map=
	[ "$(id -u)" = 0 ] || map=-r
	# shellcheck disable=SC2086 # an option or none
	exec unshare $map -n sh "$0" "$(readlink -f "$1")" inside
fi

provium=$1
here=$(dirname "$(readlink -f "$0")")
e2e=$here/../e2e
# Not below TMPDIR, which may be for its owner only: an ordinary user comes in.
work=$(mktemp -d /tmp/knet.XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
# shellcheck source=tests/e2e/claims.sh
. "$e2e/claims.sh"
ip link set lo up

# What is there of ours: interfaces, then tables.
remains() {
	ip -o link show | grep -o 'pv[0-9a-f]\{6\}[bit][0-9]*:'
	nft list tables | grep ' pv'
}

nothing_remains() {
	remains >left
	[ ! -s left ] || complain "left behind: $(tr '\n' ' ' <left)"
}

echo 'return {network = "kernel"}' >kernel.lua
for suite in network capture cable route ipv6; do
	claim "tests/e2e/$suite passes on bridges of the kernel's"
	run 0 run --config kernel.lua "$e2e/$suite.test.lua"
	grep -q '^0 passed' out && complain "nothing ran"
	nothing_remains
done

claim "what is the kernel's own is there"
ln -s "$here/knet.scripted.lua" knet.test.lua
ln -s "$e2e/listener.lua" .
run 0 run knet.test.lua
nothing_remains

claim "a config that names no network is refused"
echo 'return {network = "bridge"}' >bad.lua
run 2 run --config bad.lua knet.test.lua
err 'network: expected "user" or "kernel"'

# A test that stays until there is a file.
cat >stay.test.lua <<'END'
test("stays", function(t)
  local lan = provium:bridge("lan", {network = "kernel"})
  local a, b = provium:vm("a"), provium:vm("b")
  lan:attach({a, b})
  provium:boot()
  lan:bandwidth_limit(1e9)
  a:run("ping -c 1 -w 20 b", {check = true})
  local f = assert(io.open(os.getenv("KNET_READY"), "w"))
  f:close()
  wait_until(function()
    local go = io.open(os.getenv("KNET_GO"))
    return go and go:close()
  end, {timeout = 60})
  a:run("ping -c 1 -w 20 b", {check = true})
end)
END

# stay NAME: runs it in the background, as $pid, until it stays.
stay() {
	mkfifo "$1.ready"
	KNET_READY="$1.ready" KNET_GO="$work/go" timeout 1200 "$provium" run \
	    stay.test.lua >"$1.out" 2>&1 &
	pid=$!
	timeout 600 cat "$1.ready" || complain "$1 did not come to stay"
}

claim "two runs at once have names of their own"
rm -f go
stay one
first=$pid
stay two
second=$pid
remains >left
tags=$(grep -o 'pv[0-9a-f]*b1:' left | sort -u | wc -l)
[ "$tags" = 2 ] || complain "bridges: $(tr '\n' ' ' <left)"
: >go
wait "$first" || complain "the first: $(tail -n 5 one.out)"
wait "$second" || complain "the second: $(tail -n 5 two.out)"
nothing_remains

for whom in run worker; do
	claim "what a killed $whom left is swept by the next run, and no more"
	rm -f go ./*.ready
	stay killed
	dead=$(remains | grep -o 'pv[0-9a-f]\{6\}' | sort -u)
	victim=$(pgrep -P "$pid" -f 'provium run')
	[ "$whom" = run ] || victim=$(pgrep -P "$victim" -x provium-worker)
	[ -n "$victim" ] || complain "no $whom to kill"
	kill -9 "$victim"
	wait "$pid" 2>/dev/null
	remains | grep -q "${dead}b1" || complain "nothing was left to sweep"
	run 0 doctor
	out "runs that died have left"
	stay alive
	remains >left
	grep -q "$dead" left && complain "not swept: $(tr '\n' ' ' <left)"
	alive=$(grep -o 'pv[0-9a-f]\{6\}' left | sort -u)
	rm -f two.ready
	stay two
	remains >left
	grep -q "${alive}b1" left || complain "one that lives was swept"
	: >go
	wait
	grep -q '^1 passed, 0 failed' alive.out ||
	    complain "beside it: $(tail -n 5 alive.out)"
	nothing_remains
done

claim "without rights it says what is missing"
cat >refused.test.lua <<'END'
test("is refused", function(t)
  local text = t:assert_raises(function()
    provium:bridge("lan", {network = "kernel"})
  end)
  t:log(text)
  for _, words in ipairs({"cannot make bridge 'lan' in the kernel",
      "no CAP_NET_ADMIN in this network namespace", "unshare -rn",
      'network = "user" needs no rights'}) do
    t:assert_contains(text, words)
  end
  t:assert_eq(provium:bridge_names(), {})
  provium:bridge("lan"):attach(provium:vm("a"))
end)
END
chmod 755 .
cp "$provium" ./provium
mkdir home
chown nobody home 2>/dev/null
if [ "$(id -u)" = 0 ] && [ "$(wc -l </proc/self/uid_map)" = 1 ] &&
    setpriv --reuid nobody --regid nogroup --clear-groups true 2>/dev/null; then
	user='setpriv --reuid nobody --regid nogroup --clear-groups'
else
	user='setpriv --inh-caps=-all --bounding-set=-all --no-new-privs'
fi
# shellcheck disable=SC2086 # words
XDG_RUNTIME_DIR='' HOME="$work/home" TMPDIR="$work/home" $user ./provium run \
    refused.test.lua >out 2>err || complain "status $?"
nothing_remains

claims_end
