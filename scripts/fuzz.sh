#!/usr/bin/env bash
# Runs every fuzz test for a while: fuzz.sh [time for each, 10s by default].
. "$(dirname "$0")/lib.sh"
time=${1:-10s}
count=0
while IFS=: read -r file line; do
	name=$(sed -E 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/' <<<"$line")
	printf '== %s in %s\n' "$name" "$file"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 20x "./$(dirname "$file")" </dev/null
	count=$((count + 1))
done < <(find . \( -name '.?*' -o -name testdata \) -prune -o -name '*_test.go' -exec grep -HE '^func Fuzz[A-Z0-9_]' {} + | sort)
[ $count -gt 0 ] || die "there are no fuzz tests"
printf 'fuzz: %d tests, %s each\n' "$count" "$time"
