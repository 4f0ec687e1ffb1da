# shellcheck shell=bash
# Sourced by the other scripts: it goes to the top of the checkout and sets what
# they all need.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export HOME="${HOME:-$root/.cache/home}" # for Go's caches

die() {
	printf '\nerror: %s\n' "$*" >&2
	exit 1
}

command -v go >/dev/null || die "Go is missing: see https://go.dev/doc/install"

# Whoever runs this trusts the checkout; git asks for that to be said where it
# belongs to another user.
if [ -e .git ] && command -v git >/dev/null && ! git rev-parse --git-dir >/dev/null 2>&1; then
	n=${GIT_CONFIG_COUNT:-0}
	export "GIT_CONFIG_KEY_$n=safe.directory" "GIT_CONFIG_VALUE_$n=$root" "GIT_CONFIG_COUNT=$((n + 1))"
fi
GOFLAGS="$(go env GOFLAGS) -buildvcs=false"
export GOFLAGS

# is_checkout reports whether this folder is a git checkout with a history.
is_checkout() {
	command -v git >/dev/null && [ -e .git ] && git rev-parse -q --verify HEAD >/dev/null 2>&1
}

# compiles_c reports whether the C compiler that Go uses works.
compiles_c() {
	local dir ok=1
	dir=$(mktemp -d)
	printf '#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n' >"$dir/a.c"
	# shellcheck disable=SC2046 # CC may have arguments
	$(go env CC) -o "$dir/a" "$dir/a.c" >/dev/null 2>&1 || ok=0
	rm -rf "$dir"
	[ $ok = 1 ]
}

# need_cc sees to it that there is a C compiler: the SQLite driver and the race
# detector need one.
need_cc() {
	local as
	if ! compiles_c; then
		local want
		want="SQLite's driver and the race detector need a C compiler, and '$(go env CC)' does not work here.
Install one: apt-get install gcc libc6-dev (Debian, Ubuntu), dnf install gcc (Fedora),
apk add gcc musl-dev (Alpine), xcode-select --install (macOS); or name yours in CC."
		command -v apt-get >/dev/null || die "$want"
		if [ "$(id -u)" = 0 ]; then
			as=(env)
		elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
			as=(sudo env)
		else
			die "$want"
		fi
		printf '== no C compiler: installing gcc and libc6-dev\n'
		as+=(DEBIAN_FRONTEND=noninteractive apt-get -qq)
		"${as[@]}" update || true # the lists there may do
		"${as[@]}" install -y --no-install-recommends gcc libc6-dev >/dev/null || die "$want"
		compiles_c || die "$want"
	fi
	export CGO_ENABLED=1
}
