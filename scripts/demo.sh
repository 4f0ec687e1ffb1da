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
data=$root/examples/githistory/testdata
recorded=(-log "$data/eventsourcing-history.log.gz" -store "sqlite:$dir/recorded.db" -encrypt "$dir/keys")
printf '\n== a recorded history, encrypted\n'
"$dir/githistory" "${recorded[@]}" -tree "$data/eventsourcing-tree.txt.gz"
printf '\n== the same at its 800th commit\n'
"$dir/githistory" "${recorded[@]}" -tree "$data/eventsourcing-tree-at-commit-800.txt.gz" -at 800 -top 0
