#!/bin/sh
# Runs one fuzz target for a while, with its seeds and dictionary:
#   run.sh BUILD_DIR SECONDS TARGET
# Prints one line; the log is BUILD_DIR/log/NAME.
set -u

dir=$1
seconds=$2
target=$3
name=${target##*/}
seeds=tests/fuzz/corpus/$name
work=$dir/corpus/$name
log=$dir/log/$name
mkdir -p "$work" "$dir/log"

set -- "$work"
[ -d "$seeds" ] && set -- "$@" "$seeds"
[ -f "$seeds.dict" ] && set -- "$@" "-dict=$seeds.dict"
if "$target" "$@" "-max_total_time=$seconds" -timeout=10 \
    -rss_limit_mb=2048 -print_final_stats=1 "-artifact_prefix=$dir/" \
    >"$log" 2>&1; then
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	echo "  ok      $name, $seconds s, $runs inputs"
else
	echo "  FAIL    $name"
	tail -n 60 "$log" | sed 's/^/    /'
	exit 1
fi
