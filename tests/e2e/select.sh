#!/bin/sh
# Which tests are run, in which order and how often: what is remembered of
# earlier runs, shards, shuffles, repeats, --fail-fast, --watch. No guest boots.
# Ends with "N passed, N failed".
#   select.sh PROVIUM
set -u

provium=$(readlink -f "$1")
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/sel.XXXXXX") || exit 2
trap 'kill "$watcher" 2>/dev/null; rm -rf "$work"' EXIT
watcher=
unset NO_COLOR GITHUB_ACTIONS
export XDG_RUNTIME_DIR="$work/runtime" PROVIUM_CACHE_DIR="$work/cache"
mkdir -m 700 "$XDG_RUNTIME_DIR"
cd "$work" || exit 2
. "$top/tests/e2e/claims.sh"

# The tests that the last output names, as "file:name" in a row.
names() {
	sed -n 's/^\([^ ].*lua[#0-9]*\)$/f \1/p
	    s/^  \(ok  \|FAIL\|skip\)  *\(.*[^ ]\)  [0-9.]* m*s$/t \2/p
	    s/^  \([^ ].*\)$/l \1/p' out |
	    awk '$1 == "f" {f = $2} $1 == "t" {sub(/^t /, ""); print f ":" $0}'
}

file t/a.test.lua <<'END'
test("one", function() end)
test("two", function(t) t:assert(io.open("mended")) end)
test("slow one", {slow = true}, function() end)
END
file t/b.test.lua <<'END'
test("one", function() end)
test("three", function(t) t:assert(io.open("mended")) end)
END
file t/c.test.lua <<'END'
test("four", {retries = 0}, function() end)
END

# --- what is remembered ------------------------------------------------------

claim "without a run before, nothing is there to be run again"
run 2 run --rerun-failed t
err "provium: nothing in these files failed the last time: --rerun-failed"
run 0 run --rerun-failed --allow-empty t

claim "what failed is run first, and alone with --rerun-failed"
run 1 run -j1 t
last_line "3 passed, 2 failed, 1 slow left out"
run 0 list --rerun-failed t
out "  two"
out "  three"
no_out "  one"
out "2 tests in 2 files"
run 1 run --rerun-failed t
last_line "0 passed, 2 failed"

claim "once it passes, it is no failure of the last time"
touch mended
run 0 run --rerun-failed t
last_line "2 passed, 0 failed"
run 2 run --rerun-failed t
rm mended

claim "a file that does not load is run again as a whole"
file broken/x.test.lua <<'END'
test("x", function() end)
if not io.open("mended") then error("not yet") end
END
run 1 run broken
touch mended
run 0 run --rerun-failed broken
last_line "1 passed, 0 failed"
rm mended

claim "a history of one's own is another"
run 1 run --history mine --filter two t
grep -q '"t/a.test.lua"' mine || complain "no record: $(cat mine)"
run 0 list --history mine --rerun-failed t
out "1 test in 1 file"
run 2 run --rerun-failed t

claim "a history that is none is refused, and stays as it is"
echo "not mine" >notes
run 2 run --history notes t
err "'notes' is no history of provium, or a later version's"
[ "$(cat notes)" = "not mine" ] || complain "it was written to"

claim "ours, when damaged, is told of, and keeps nobody from working"
for f in cache/history/*; do echo junk >"$f"; done
run 1 run t
err "is no history of provium, or a later version's: nothing is remembered"
last_line "3 passed, 2 failed, 1 slow left out"
rm -r cache

claim "one that cannot be written is told of"
mkdir cache
: >cache/history
run 1 run t
err "cache/history"
last_line "3 passed, 2 failed, 1 slow left out"
rm -r cache

claim "--no-history remembers nothing"
run 1 run --no-history t
run 2 run --rerun-failed t
[ ! -e cache/history ] || complain "there is one"

# --- slow ones ---------------------------------------------------------------

claim "slow tests are run when asked for"
run 0 run --include-slow t/a.test.lua --filter one
last_line "2 passed, 0 failed"
run 0 run --only-slow t
last_line "1 passed, 0 failed"
run 0 list --only-slow t
out "1 test in 1 file"

claim "only slow ones, left out, are a clear outcome"
run 2 run --filter "slow one" t
err "no test is selected by --filter 'slow one': 1 slow left out, which --include-slow takes in"

# --- parts, orders, repeats --------------------------------------------------

claim "shards have each file once"
: >all
for k in 1 2; do
	run 0 list --shard $k/2 t
	grep lua out >>all
done
[ "$(sort all | tr '\n' ' ')" = "t/a.test.lua t/b.test.lua t/c.test.lua " ] ||
    complain "shards: $(tr '\n' ' ' <all)"

claim "a shard without files is no failure"
run 0 run --shard 9/9 t
last_line "0 passed, 0 failed"

claim "shards of a shared history take the same time"
cat >seconds.json <<'END'
{"version": 1, "files": {"t/a.test.lua": {"seconds": 9},
 "t/b.test.lua": {"seconds": 5}, "t/c.test.lua": {"seconds": 4}}}
END
run 0 list --history seconds.json --shard 1/2 t
out "t/a.test.lua"
no_out "t/b.test.lua"
no_out "t/c.test.lua"

claim "files newer than another are told by --since"
touch -d "2020-01-01" t/*.lua
touch -d "2021-01-01" ref
touch t/c.test.lua
run 0 run --since ref t
last_line "1 passed, 0 failed"
touch ref
run 2 run --since ref t
err "no file is newer than that of --since"
run 2 run --since nowhere t
err "--since: 'nowhere': No such file or directory"

claim "a seed gives an order, and is told"
file order/a.test.lua <<'END'
for i = 1, 9 do test("" .. i, function() end) end
END
run 0 run --shuffle 5 order
out "shuffled: --shuffle 5"
names >first
run 0 run --shuffle 5 order
names >second
cmp -s first second || complain "another order: $(cat second)"
[ "$(sort first)" != "$(cat first)" ] || complain "not shuffled"
run 0 run --shuffle random order
seed=$(sed -n 's/^shuffled: --shuffle \([0-9]*\)$/\1/p' out)
names >first
run 0 run --shuffle "${seed:-0}" order
names >second
cmp -s first second || complain "another order with --shuffle $seed"

claim "a failure of a shuffled run says how to repeat it"
file "sh/it's.test.lua" <<'END'
local n = 0
for i = 1, 9 do test("t" .. i, function(t) n = n + 1 t:assert_eq(n, i) end) end
test("other", function(t) t:fail("no") end)
END
run 1 run --shuffle 5 --filter "/^t/" --include-slow sh
out "        repeat with: provium run --shuffle 5 --filter '/^t/' --include-slow 'sh/it'\\''s.test.lua'"
grep 'assert_eq\|values\|got' out >first
eval "$(sed -n "s/^ *repeat with: provium run /run 1 run /p" out | head -n1)"
grep 'assert_eq\|values\|got' out >second
cmp -s first second || complain "another failure: $(cat second)"
[ -s first ] || complain "no failure"
run 1 run --filter other sh
no_out "repeat with"

claim "repeats have names of their own, in every report"
run 1 run -j1 --repeat 3 --filter two --junit junit.xml t
last_line "0 passed, 3 failed"
out "t/a.test.lua#1"
out "t/a.test.lua#3"
grep -q 'a.test.lua#2' junit.xml || complain "not in the JUnit report"
out "  t/a.test.lua: two  failed 3 times of 3"

claim "--retries is for tests that say nothing else"
run 1 run --retries 2 --events events t/a.test.lua
[ "$(grep -c '"test_attempt"' events)" = 2 ] ||
    complain "$(grep -c '"test_attempt"' events) attempts failed before"

claim "--fail-fast runs nothing after a failure, and says so"
run 1 run -j1 --fail-fast t
out "interrupted by --fail-fast, not all was run"
last_line "1 passed, 1 failed, 1 slow left out"
no_out "four"
no_out "outside of"

claim "--fail-fast ends what runs beside"
file beside/a.test.lua <<'END'
test("waits", function()
  io.open("waits", "w"):close()
  wait_until(function() end, {timeout = 50})
end)
END
file beside/b.test.lua <<'END'
test("fails", function(t)
  wait_until(function() return io.open("waits") end, {timeout = 50})
  t:fail("no")
end)
END
run 1 run -j2 --fail-fast beside
out "skip  waits"
last_line "0 passed, 1 failed, 1 skipped"

claim "bad values are bad usage"
for option in "--shard 0/2" "--shard 3/2" "--shard 1" "--shard 1/2x" \
    "--shuffle 0" "--shuffle x" "--repeat 0" "--repeat x" "--retries 101"; do
	# shellcheck disable=SC2086 # two words
	run 2 run $option t
	err "${option%% *}: '${option#* }' is not"
done

# --- again and again ---------------------------------------------------------

# until_out N TEXT: waits until the watcher's output has N lines of TEXT.
until_out() {
	for _ in $(seq 100); do
		[ "$(grep -c "$2" out)" -lt "$1" ] || return
		sleep 0.1
	done
	complain "no $1 lines with '$2'"
}

claim "--watch runs again what has changed"
rm -f mended
"$provium" run --watch t >out 2>&1 </dev/null &
watcher=$!
until_out 1 "watching 1 directory, ^C ends"
until_out 1 "3 passed, 2 failed"
touch mended
cat t/b.test.lua >t/b.new && mv t/b.new t/b.test.lua
until_out 1 "changed: $work/t/b.test.lua"
until_out 1 "^2 passed, 0 failed"
until_out 2 "watching"

claim "a helper that changes runs all again, new directories are seen"
echo "return 1" >t/helper.lua
until_out 1 "^5 passed, 0 failed, 1 slow"
mkdir t/sub
until_out 1 "watching"
cp t/c.test.lua t/sub/d.test.lua
until_out 1 "changed: $work/t/sub/d.test.lua"
until_out 1 "^1 passed, 0 failed"
until_out 1 "watching 2 directories"

claim "the files of a directory that comes whole have changed"
mkdir -p whole/below
cp t/c.test.lua whole/below/e.test.lua
mv whole t/whole
until_out 1 "changed: $work/t/whole/below/e.test.lua"
until_out 1 "^1 passed, 0 failed"
until_out 1 "watching 4 directories"

claim "--watch ends by a signal"
kill -TERM "$watcher"
wait "$watcher"
[ $? = 143 ] || complain "another status"
watcher=

claims_end
