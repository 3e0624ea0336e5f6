# shellcheck shell=bash # sourced, never run
#
# test/run/machine.sh
#	What the scripts share that change the machine they run on as they like:
#	test/run/newcomer and test/run/package.  What they note down is in $NOTES,
#	which only test/run/matrix makes; without it they do not begin.

NOTES=/newcomer
PASSED=0
FAILED=0

say()
{
	printf '%s\n' "$@"
}

check()						# check WHAT COMMAND...
{
	if "${@:2}"; then
		say "ok - $1"
		PASSED=$((PASSED + 1))
	else
		say "not ok - $1"
		FAILED=$((FAILED + 1))
	fi
}

again()						# up to three times, for what a network does
{
	"$@" || { sleep 10 && "$@"; } || { sleep 30 && "$@"; }
}

get()						# get PACKAGE...
{
	DEBIAN_FRONTEND=noninteractive again apt-get install -q -y \
		--no-install-recommends "$@" </dev/null >>"$NOTES/apt.log" 2>&1
}

[ -d "$NOTES" ] || {
	say "This is for a system that test/run/matrix has made: type make matrix."
	exit 1
}
