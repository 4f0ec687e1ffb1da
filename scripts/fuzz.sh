#!/usr/bin/env bash
# Runs every fuzz test for a while: fuzz.sh [time for each, 10s by default].
. "$(dirname "$0")/lib.sh"
time=${1:-10s}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# late reports whether a run failed only because its time was over, which happens
# on busy machines: go.dev/issue/75804, mended in Go 1.27.
late() {
	grep -A1 '^--- FAIL: ' "$log" | grep -qx '    context deadline exceeded' && ! grep -qiE 'failing input|panic' "$log"
}

count=0 failed=()
while IFS=: read -r file line; do
	name=$(sed -E 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/' <<<"$line")
	printf '== %s in %s\n' "$name" "$file"
	if ! go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 20x "./$(dirname "$file")" </dev/null 2>&1 | tee "$log" && ! late; then
		failed+=("$name")
	fi
	count=$((count + 1))
done < <(find . \( -name '.?*' -o -name testdata \) -prune -o -name '*_test.go' -exec grep -HE '^func Fuzz[A-Z0-9_]' {} + | sort)
[ $count -gt 0 ] || die "there are no fuzz tests"
printf 'fuzz: %d tests, %s each\n' "$count" "$time"
[ ${#failed[@]} = 0 ] || die "failed: ${failed[*]}"
