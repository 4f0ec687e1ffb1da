#!/usr/bin/env bash
# Runs benchmarks of the drivers and prints their tables: bench.sh. It takes from the
# environment
#	D	the drivers, all by default: D='sqlite postgres'
#	T	how long each workload takes, 3s by default
#	B	which benchmarks: ES (the default) puts package es beside hand-written code;
#		Late, Growth, Memory and Sealed are for those drivers that have them
# The server of a driver runs while its benchmarks do, and no other, unless
# ES_TEST_… names one. What the benchmarks print stays in .cache/bench/ES: go run
# ./internal/benchtable .cache/bench/ES/* makes one table of several runs.
. "$(dirname "$0")/lib.sh"
need_cc
export DURABLE=1 # servers keep what they confirm, as those of users do

benchmarks=${B:-ES}
out=$root/.cache/bench/$benchmarks
mkdir -p "$out"

one() { # DRIVER: in a shell of its own, at whose end its server stops
	local folder=$1 sub=
	case $1 in
	sqlite) SERVERS= ;;
	mysql | mariadb) folder=mysql sub="/^$1\$" ;;&
	postgres | mysql | mariadb | mongo | dynamodb | cassandra) SERVERS=$1 ;;
	*) die "there is no driver $1" ;;
	esac
	grep -Eqs "^func Benchmark($benchmarks)\(" "drivers/$folder/${folder}test"/*_test.go || return 0
	need_servers
	local variable
	variable=$(variable "$1")
	if [ "$1" != sqlite ] && [ -z "${!variable:-}" ]; then
		printf 'left-out: %s\n' "$1"
		return
	fi
	go test -run '^$' -bench "^Benchmark($benchmarks)\$$sub" -benchtime "${T:-3s}" -timeout 1h "./drivers/$folder/${folder}test"
}

failed=
files=()
for driver in ${D:-sqlite postgres mysql mariadb mongo dynamodb cassandra}; do
	files+=("$out/$driver")
	(one "$driver") </dev/null | tee "$out/$driver" >&2 || failed=1
done
printf '\n' >&2
go run ./internal/benchtable "${files[@]}"
[ -z "$failed" ]
