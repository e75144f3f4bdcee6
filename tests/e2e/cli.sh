#!/bin/sh
# The command line of provium, seen from outside; boots nothing. Ends with
# "N passed, N failed".
#   cli.sh PROVIUM
set -u

provium=$(readlink -f "$1")
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/cli.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
unset NO_COLOR
export XDG_RUNTIME_DIR="$work/runtime" PROVIUM_CACHE_DIR="$work/cache"
mkdir -m 700 "$XDG_RUNTIME_DIR"
cd "$work" || exit 2

. "$top/tests/e2e/claims.sh"

file good/a.test.lua <<'END'
test("adds", function(t) t:assert_eq(1 + 1, 2) end)
test("prints", {tags = {"slow", "net"}}, function(t) print("a secret") end)
END
file good/sub/b.test.lua <<'END'
test("waits", {skip = "needs a moon"}, function(t) end)
END
file bad/fails.test.lua <<'END'
test("first", function(t) end)
test("fails", function(t)
  print("printed by it")
  t:assert_eq("left", "right")
end)
test("last", function(t) end)
END
file syntax/broken.test.lua <<'END'
test("x", function(t)
  local = 1
end)
END
mkdir empty
file none/no.test.lua <<'END'
-- registers nothing
END

# --- usage -------------------------------------------------------------------

claim "no argument at all is bad usage, and explains"
run 2
err "usage: provium [run]"

claim "--help explains with examples"
run 0 --help
out "usage: provium [run]"
out "provium doctor"
out 'test("the guest answers"'
out "exit status: 0"

claim "every command has its own help"
for c in run list report guest doctor lsp-setup help; do
	run 0 "$c" --help
	out "$c"
	run 0 help "$c"
	out "usage: provium"
done

claim "--version prints the version"
run 0 --version
grep -qE '^provium [0-9]+\.[0-9]+\.[0-9]+$' out || complain "no version"

claim "an unknown option is named, with the nearest"
run 2 run --fliter x good
err "provium: run: unknown option '--fliter', did you mean '--filter'?"
run 2 list --zzzz good
err "unknown option '--zzzz'; there is:"
run 2 run -Z good
err "unknown option '-Z'"

claim "a misspelt command is told from a path"
run 2 lsit good
err "no such file or directory: 'lsit'; did you mean the command 'list'?"
run 2 help rnu
err "no command 'rnu', did you mean 'run'?"

claim "an option without its argument says so"
run 2 run --filter
err "--filter needs an argument: TEXT"

claim "an option with an argument it does not take says so"
run 2 run --quiet=yes good
err "--quiet takes no argument"

claim "bad values are named"
run 2 run --timeout soon good
err "--timeout: 'soon' is not a duration"
run 2 run --timeout 0 good
run 2 run --jobs 0 good
err "--jobs: '0' is not a number from 1"
run 2 run --jobs 2x good

claim "options may stand anywhere, in every form"
run 0 good --filter adds -q
run 0 run --filter=adds good
run 0 run -fadds good
run 0 run -qv good
run 0 run -- good

claim "the manual and the help name the same options"
for c in run list report guest doctor; do
	"$provium" "$c" --help
done | grep -oE '^ .{5}--[a-z-]+' | sed 's/.*--//' | sort -u >help.txt
grep -oE 'Fl -[a-z-]+' "$top/docs/provium.1" | sed 's/Fl -//' |
    sort -u >man.txt
cmp -s help.txt man.txt || complain "$(diff help.txt man.txt | tr '\n' ' ')"
[ "$(wc -l <help.txt)" -gt 8 ] || complain "too few options found"

# --- what is run -------------------------------------------------------------

claim "passing and skipped tests are status 0"
run 0 run good
out "good/a.test.lua"
out "  ok    adds"
out "  skip  waits  (needs a moon)"
last_line "2 passed, 0 failed, 1 skipped"

claim "the word run may be left out"
run 0 good
last_line "2 passed, 0 failed, 1 skipped"

claim "a failure is status 1 and shows line, values, source, prints"
run 1 run bad
out "  ok    first"
out "  FAIL  fails"
out "bad/fails.test.lua:4: "
out "left"
out "right"
out '>    4 |   t:assert_eq("left", "right")'
out "printed by it"
out "  ok    last"
last_line "2 passed, 1 failed"

claim "a file that does not load is a failure with its line"
run 1 run syntax good
out "syntax/broken.test.lua:2: "
out ">    2 |   local = 1"
last_line "2 passed, 1 failed, 1 skipped"

claim "a missing path is status 2"
run 2 run good nope
err "provium: no such file or directory: 'nope'"
no_out passed

claim "a file that is no test is status 2"
echo >helper.lua
run 2 run helper.lua
err "'helper.lua' is no test file: its name does not end in .test.lua"

claim "finding no file is status 2, or 0 when allowed"
run 2 run empty
err "no test found: no *.test.lua in 'empty'"
run 0 run --allow-empty empty

claim "finding no test in the files is status 2, or 0 when allowed"
run 2 run none
err "no test in the files found"
run 0 run --allow-empty none
last_line "0 passed, 0 failed"

claim "a filter chooses by test name and by path"
run 0 run --filter adds good
last_line "1 passed, 0 failed"
run 0 run --filter sub/b good
last_line "0 passed, 0 failed, 1 skipped"

claim "a filter that selects nothing is status 2"
run 2 run --filter xyzzy good
err "no test is selected by --filter 'xyzzy'"
run 2 run --filter xyzzy --no-tag quick good
err "no test is selected by --filter 'xyzzy' --no-tag 'quick'"
run 2 list --tag xyzzy good
err "no test is selected by --tag 'xyzzy'"

claim "a filter in slashes is a regular expression, a bad one bad usage"
run 0 run --filter '/^a.ds$|^adds$/' good
last_line "1 passed, 0 failed"
run 2 run --filter '/(/' good
err "--filter: '/(/' is no regular expression: Unmatched ( or"
run 2 run --tag-meta spec good
err "--tag-meta: 'spec' must be KEY=VALUE, of a key of meta"

claim "a path given twice runs once"
run 0 run good good/a.test.lua ./good
last_line "2 passed, 0 failed, 1 skipped"

claim "without a path, the current directory is the root"
(cd good && timeout 60 "$provium" run >../out 2>../err) || complain "status"
out "sub/b.test.lua"
last_line "2 passed, 0 failed, 1 skipped"

claim "files in parallel report as one after the other"
run 1 run -j 3 good bad
out "  FAIL  fails"
last_line "4 passed, 1 failed, 1 skipped"
[ "$(grep -c 'test\.lua$' out)" = 3 ] || complain "files are mixed up"

claim "quiet leaves the failures, verbose adds the prints"
run 1 run -q good bad
no_out "  ok  "
out "  FAIL  fails"
run 0 run good
no_out "a secret"
run 0 run -v good
out "a secret"
out "accelerator "
out "transport "

claim "list names tests and tags and runs nothing"
run 0 list good bad
out "good/a.test.lua"
out "  prints  [slow, net]"
out "  waits  (skip: needs a moon)"
out "  fails"
last_line "6 tests in 3 files"
run 1 list syntax
out "syntax/broken.test.lua:2: "
run 2 list --filter xyzzy good

# --- when things go wrong ----------------------------------------------------

claim "a crash costs one test"
file crash/c.test.lua <<'END'
local ffi = require("ffi")
ffi.cdef("int raise(int);")
test("before", function(t) end)
test("crashes", function(t) ffi.C.raise(6) end)
test("after", function(t) end)
END
run 1 run crash
out "  ok    before"
out "  FAIL  crashes"
out "the worker died: SIGABRT"
out "  ok    after"
last_line "2 passed, 1 failed"

claim "an endless loop ends at its deadline, the rest runs"
file loop/l.test.lua <<'END'
test("loops", function(t) while true do end end)
test("after", function(t) end)
END
run 1 run --timeout 300ms loop
out "  FAIL  loops"
out "loop/l.test.lua:1: timed out after 300ms: it computes in Lua at loop/l.test.lua:1"
out "  ok    after"
last_line "1 passed, 1 failed"

claim "a signal ends a run in order, status 2"
file slow/s.test.lua <<'END'
test("loops", function(t)
  io.open(os.getenv("MARK"), "w"):close()
  while true do end
end)
END
MARK=$work/mark
export MARK
mkfifo "$MARK"
cp good/a.test.lua slow/t.test.lua
"$provium" run -j1 slow >out 2>err </dev/null &
pid=$!
cat "$MARK" # until the file is being run
kill -INT "$pid"
wait "$pid"
[ $? = 2 ] || complain "wrong status"
out "interrupted by SIGINT"
last_line "0 passed, 0 failed, 1 skipped"
no_out t.test.lua
rm "$MARK" slow/t.test.lua

claim "kill -9 leaves nothing running, the next run sweeps"
mkfifo "$MARK"
"$provium" run slow >out 2>err </dev/null &
pid=$!
cat "$MARK"
worker=$(pgrep -P "$pid")
[ -n "$worker" ] || complain "no worker"
kill -9 "$pid"
wait "$pid" 2>/dev/null
timeout 20 tail --pid="$worker" -f /dev/null || complain "the worker lives"
rm "$MARK"
[ -n "$(ls "$XDG_RUNTIME_DIR")" ] || complain "no directory to sweep"
run 0 run good
[ -z "$(ls "$XDG_RUNTIME_DIR")" ] || complain "not swept"

claim "what a test writes by other means is no part of the report"
file stray/s.test.lua <<'END'
local ffi = require("ffi")
ffi.cdef("int puts(const char *);")
ffi.cdef("int fflush(void *);")
test("t", function(t) ffi.C.puts("STRAY"); ffi.C.fflush(nil) end)
END
run 0 run stray
no_out STRAY
run 0 run -v stray
out "  | STRAY"

claim "what is printed behind the last test is shown"
file behind/a.test.lua <<'END'
test("fine", function(t) end)
local p = newproxy(true)
getmetatable(p).__gc = function()
  print("printed at the end")
  io.write("written at the end\n")
end
END
run 0 run behind
out "  ok    fine"
out "  | printed at the end"
out "  | written at the end"

claim "a failure of a repeated file has its source"
file again/a.test.lua <<'END'
test("no", function(t)
  t:fail("never")
end)
END
run 1 run --repeat 2 again
out "again/a.test.lua#2:2: never"
out ">    2 |   t:fail(\"never\")"

claim "what a test prints cannot steer the terminal"
file steer/s.test.lua <<'END'
test("\27[2Jname", function(t) error("\27[2J\7message") end)
END
run 1 run steer
out '\x1b[2Jname'
! LC_ALL=C grep -q "$(printf '[\033\007]')" out || complain "it could"

# --- colour, events ----------------------------------------------------------

claim "there is colour on request only, when not on a terminal"
run 0 run good
! grep -q "$(printf '\033')" out || complain "coloured"
run 0 run --color good
grep -q "$(printf '\033')" out || complain "not coloured"
run 0 run --no-color good

claim "events are JSON, an object a line"
run 1 run --events events.json bad
out "FAIL"
python3 - events.json <<'END' || complain "events are not as documented"
import json, sys
events = [json.loads(l) for l in open(sys.argv[1])]
kinds = [e["event"] for e in events]
assert kinds[0] == "run_start" and kinds[-1] == "run_end", kinds
assert events[0]["version"] == 1
assert kinds.count("test_end") == 3
assert all("time" in e for e in events)
failed = [e for e in events if e.get("status") == "failed"]
assert failed[0]["location"] == {"file": "bad/fails.test.lua", "line": 4}
assert events[-1]["passed"] == 2 and events[-1]["failed"] == 1
END

claim "events on standard output move the report"
run 0 run --events - good
err "2 passed, 0 failed"
no_out "2 passed"
out '"event":"run_end"'

claim "events that cannot be written are status 2"
run 2 run --events /nonexistent/x good
err "--events: cannot write '/nonexistent/x'"
run 2 run --events /dev/full good

claim "a report that cannot be written is status 2"
"$provium" run good >/dev/full 2>err
[ $? = 2 ] || complain "wrong status"
err "cannot write to standard output"

# --- config ------------------------------------------------------------------

claim "roots of the config are run, from anywhere below it"
file project/provium.lua <<'END'
return { roots = { "checks" } }
END
file project/checks/r.test.lua <<'END'
test("rooted", function(t) end)
END
mkdir -p project/src
(cd project/src && timeout 60 "$provium" run >"$work/out" 2>"$work/err") ||
    complain "status"
out "  ok    rooted"

claim "--config names another"
run 0 list --config project/provium.lua
out "project/checks/r.test.lua"

claim "an error in the config is status 2, with file and key"
file wrong/provium.lua <<'END'
return { profiles = { default = { memroy = "1G" } } }
END
run 2 run --config wrong/provium.lua good
err "wrong/provium.lua: unknown key 'profiles.default.memroy', did you mean"
run 2 run --config nope.lua good
err "config: cannot open"

claim "build commands run first, once, and their failure is status 2"
file built/provium.lua <<'END'
return { profiles = { default = { build_out = "out",
  build = "mkdir -p {out} && echo built >>{out}/log; echo noise" } } }
END
run 0 run --config built/provium.lua good bad/../good
[ "$(cat built/out/log)" = built ] || complain "not built once"
no_out noise
err noise
run 0 list --config built/provium.lua good
[ "$(cat built/out/log)" = built ] || complain "list built"
echo 'return { profiles = { p = { build = "exit 3" } } }' >built/provium.lua
run 2 run --config built/provium.lua good
err "profile 'p': build ended with status 3: exit 3"

# --- guest, doctor -----------------------------------------------------------

claim "guest wants to know what"
run 2 guest
err "build, list or path"
run 2 guest dance
err "no 'dance'"

claim "guest list is empty in an empty cache"
run 0 guest list
err "no guest image in $work/cache"

claim "doctor names each choice"
run 0 doctor
for w in config qemu accelerator transport /dev/kvm busybox guest memory; do
	out " $w "
done
out "tests can run here"

claim "doctor says when QEMU is missing, status 2"
PROVIUM_QEMU=/nonexistent run 2 doctor
out "FAIL  qemu"
out "PROVIUM_QEMU is '/nonexistent'"
out "tests cannot run here"

claim "lsp-setup writes what editors read, and keeps a config that is there"
run 0 lsp-setup
out "wrote ./.provium/provium.lua"
out "wrote ./.luarc.json"
grep -q '^function VM:boot' .provium/provium.lua || complain "no VM:boot in the stubs"
echo '{}' >.luarc.json
run 0 lsp-setup .
out "kept ./.luarc.json: it needs"
[ "$(cat .luarc.json)" = '{}' ] || complain "the config was changed"
run 2 lsp-setup /nonexistent
err "cannot make '/nonexistent/.provium': No such file or directory"
run 2 lsp-setup a b
err "lsp-setup: one directory, not 'b' too"

claims_end
