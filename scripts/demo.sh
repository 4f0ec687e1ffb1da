#!/usr/bin/env bash
# The main job on real input: the history of this repository, and a recorded one,
# become events in SQLite, and the files rebuilt from the events are compared with
# git's trees.
. "$(dirname "$0")/lib.sh"
need_cc

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go build -o "$dir/githistory" ./examples/githistory

if is_checkout; then
	printf '\n== the history of this repository\n'
	"$dir/githistory" -repo "$root" -store "sqlite:$dir/own.db"
fi
log=examples/githistory/testdata/eventsourcing-history.log.gz
printf '\n== a recorded history: %s\n' "$log"
"$dir/githistory" -log "$root/$log" -store "sqlite:$dir/recorded.db"
