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

# provide installs packages of Debian on this machine, if it may; if not, the script
# ends with what to do instead.
provide() { # WHAT-TO-DO PACKAGE...
	local as want=$1
	shift
	command -v apt-get >/dev/null || die "$want"
	if [ "$(id -u)" = 0 ]; then
		as=(env)
	elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
		as=(sudo env)
	else
		die "$want"
	fi
	printf '== installing %s\n' "$*" >&2
	as+=(DEBIAN_FRONTEND=noninteractive apt-get -qq)
	"${as[@]}" update >&2 || true # the lists there may do
	"${as[@]}" install -y --no-install-recommends "$@" >/dev/null || die "$want"
}

# need_cc sees to it that there is a C compiler: the SQLite driver and the race
# detector need one.
need_cc() {
	local want
	want="SQLite's driver and the race detector need a C compiler, and '$(go env CC)' does not work here.
Install one: apt-get install gcc libc6-dev (Debian, Ubuntu), dnf install gcc (Fedora),
apk add gcc musl-dev (Alpine), xcode-select --install (macOS); or name yours in CC."
	if ! compiles_c; then
		provide "$want" gcc libc6-dev
		compiles_c || die "$want"
	fi
	export CGO_ENABLED=1
}

# What make test, make bench and .ci/run start, if nobody has named one in ES_TEST_…
test_servers=(postgres mysql mariadb dynamodb mongo cassandra)

# variable prints the name of the variable that names a server.
variable() { printf 'ES_TEST_%s' "$(tr '[:lower:]' '[:upper:]' <<<"$1")"; }

# need_servers starts the servers that tests need, and stops them when the script
# ends. Without them tests are skipped, and fail where CI is true.
need_servers() {
	local name variable here=()
	for name in ${SERVERS-"${test_servers[@]}"}; do
		variable=$(variable "$name")
		if [ -n "${!variable:-}" ]; then
			continue
		elif scripts/servers install "$name"; then
			here+=("$name")
		else
			[ "${CI:-}" != true ] || die "tests need $name"
			printf 'warning: tests that need %s are skipped\n\n' "$name" >&2
		fi
	done
	[ ${#here[@]} -gt 0 ] || return 0
	started=
	trap 'eval "$started"; [ -z "$started" ] || scripts/servers stop' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	started=$(scripts/servers start "${here[@]}")
	eval "$started"
}
