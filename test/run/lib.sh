# shellcheck shell=bash # sourced, never run
#
# test/run/lib.sh
#	What all that starts servers shares: tests, demo, benchmarks.  For bash; a
#	script begins with
#
#		. "$(dirname "$0")/../run/lib.sh"
#		need build test
#		begin demo
#		temp_install
#		start_domo
#		start_cluster main "domowf.base_url = '$DOMO_URL'"
#		sql -c 'CREATE EXTENSION domowf'
#
#	and may end at any point: its servers, processes and files end with it, on
#	Ctrl-C too.
#
# Everything happens in $RUN, a new directory right under /tmp, since the paths
# of sockets must be short.  Servers, and what as_user() runs, belong to
# $RUN_USER, which is never root.  That user need not be able to read the
# checkout: there is a copy in $RUN.
#
# Must not touch any cluster, file or process outside of $RUN, but for the
# objects in .build/ of the checkout.

set -euo pipefail
umask 022

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${PG_CONFIG:=${PG_VERSION:+/usr/lib/postgresql/$PG_VERSION/bin/}pg_config}"
: "${MAKE:=make}"
export PG_CONFIG

# Options of a make that called us are not for those that we call; what its
# command line set comes by the environment.
unset MAKEFLAGS MAKEOVERRIDES MFLAGS MAKELEVEL

# What would make the outcome depend on who runs it.
unset http_proxy https_proxy all_proxy no_proxy \
	HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY CDPATH LANG LANGUAGE
for _name in "${!PG@}"; do
	case $_name in
		PG_*) ;;
		*) unset "$_name" ;;
	esac
done
export LC_ALL=C.UTF-8 LANG=C.UTF-8

say()
{
	printf '%s\n' "$@"
}

die()
{
	printf '%s\n' "$@" >&2
	exit 1
}

# need GROUP...: sees to it that what these groups of test/run/deps name is
# installed.
need()
{
	"$ROOT/test/run/deps" "$@"
}

# ---------------------------------------------------------------------------
# A run: a directory, a user, and an end
# ---------------------------------------------------------------------------

# begin NAME: makes $RUN and sees to its removal.  A run that fails leaves it
# in place and says where; KEEP=1 does so always.
begin()
{
	RUN=$(mktemp -d "/tmp/dwf-$1.XXXXXX")
	trap end_run EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP

	AS_USER=()
	RUN_USER=$(id -un)
	if [ "$(id -u)" -eq 0 ]; then
		RUN_USER=nobody
		! id postgres >/dev/null 2>&1 || RUN_USER=postgres
		AS_USER=(setpriv "--reuid=$RUN_USER" "--regid=$(id -g "$RUN_USER")"
			--init-groups)
	fi
	AS_USER+=(env "HOME=$RUN/home" "TMPDIR=$RUN/tmp" "USER=$RUN_USER"
		"LOGNAME=$RUN_USER")
	mkdir "$RUN/home" "$RUN/tmp"
	give "$RUN"
}

# give FILE...: to $RUN_USER, with all that is in it.
give()
{
	[ "$(id -u)" -ne 0 ] || chown -R "$RUN_USER:" "$@"
}

# as_user COMMAND...: runs it as $RUN_USER, in $RUN.
as_user()
{
	(cd "$RUN" && exec "${AS_USER[@]}" "$@")
}

# At exit.  CLOSING, where set, is the very last line of the output.
end_run()
{
	local status=$?

	trap '' INT TERM HUP
	trap - EXIT
	stop_domo
	end_processes
	case ${KEEP:+1},${DISPOSABLE:-},$status in
		,yes,* | ,,0 | ,,130 | ,,143) rm -rf "$RUN" ;;
		*) say "Kept: $RUN" ;;
	esac
	[ -z "${CLOSING:-}" ] || say "$CLOSING"
	exit $status
}

# Ends what still runs in $RUN, servers included.
end_processes()
{
	local pids tries

	for tries in {1..50}; do
		mapfile -t pids < <(processes_in_run)
		[ ${#pids[@]} -gt 0 ] || return 0
		# the first signal is an immediate shutdown to a server
		case $tries in
			1) signal_all QUIT "${pids[@]}" ;;
			10) signal_all TERM "${pids[@]}" ;;
			30) signal_all KILL "${pids[@]}" ;;
		esac
		sleep 0.1
	done
}

signal_all()
{
	kill -s "$@" 2>/dev/null || true
}

processes_in_run()
{
	find /proc -maxdepth 2 -path '/proc/[0-9]*/cwd' \
		\( -lname "$RUN" -o -lname "$RUN/*" \) -printf '%h\n' 2>/dev/null |
		sed 's,^/proc/,,' || true
}

# ---------------------------------------------------------------------------
# domowf, built and installed for this run
# ---------------------------------------------------------------------------

# temp_install [VARIABLE=VALUE...]: builds with these make variables, installs
# into $RUN/install and copies what tests read into $RUN.  $RUN/temp.conf then
# has the settings by which a server finds the installation, BINDIR (also first
# in PATH) the server's programs, PGXS_DIR what PGXS brings.
temp_install()
{
	local file

	BINDIR=$("$PG_CONFIG" --bindir)
	# shellcheck disable=SC2034 # for who sources this
	PGXS_DIR=$(cd "$(dirname "$("$PG_CONFIG" --pgxs)")/../.." && pwd)
	export PATH="$BINDIR:$PATH"
	build_and_install "$@"
	write_temp_conf
	for file in expected sql src test domowf.control Makefile META.json \
		README.md CHANGELOG.md LICENSE; do
		[ ! -e "$ROOT/$file" ] || cp -R "$ROOT/$file" "$RUN/"
	done
	give "$RUN"
}

# The objects are kept in .build/, a directory for each way to build, apart
# from those of a plain `make`; so the next run only compiles what changed.
build_and_install()
{
	local dir options=(with_llvm=no ${CC:+"CC=$CC"} "$@")

	dir=$ROOT/.build/$({ "$PG_CONFIG" --version --pgxs
		say "${WERROR:-}" "${COPT:-}" "${PG_LDFLAGS:-}" "${options[@]}"
	} | cksum | cut -d ' ' -f 1)
	mkdir -p "$dir"
	(
		flock 9
		copy_sources "$dir"
		"$MAKE" -s -C "$dir" -j "$(nproc)" "${options[@]}" all
		"$MAKE" -s -C "$dir" "${options[@]}" "DESTDIR=$RUN/install" install
	) 9>"$dir.lock"
}

# Keeps the times of files, for make to compare.
copy_sources()
{
	local file source

	for file in "$1"/src/*.[cho] "$1"/src/*/*.[cho] "$1"/sql/*.sql; do
		case $file in
			*.o) source=${file%.o}.c ;;
			*) source=$file ;;
		esac
		[ -e "$ROOT/${source#"$1"/}" ] || rm -f "$file"
	done
	(cd "$ROOT" && cp -p --parents Makefile domowf.control src/*.[ch] \
		src/*/*.[ch] src/domowf.map sql/* "$1/")
}

# PostgreSQL 18 looks for extensions along a path; Debian's servers before that
# put a directory before all paths.  Either way '$libdir/domowf' is found in
# the installation, and so is 'domowf' in shared_preload_libraries.
write_temp_conf()
{
	local known sharedir libdir

	known=" $(postgres --describe-config | cut -f 1 | tr '\n' ' ') "
	sharedir=$RUN/install$("$PG_CONFIG" --sharedir)
	libdir=$RUN/install$("$PG_CONFIG" --pkglibdir)
	case $known in
		*' extension_control_path '*)
			say "extension_control_path = '$sharedir:\$system'" ;;
		*' extension_destdir '*)
			say "extension_destdir = '$RUN/install'" ;;
		*)
			die "This PostgreSQL has neither extension_control_path (18) nor" \
				"Debian's extension_destdir: it cannot test what is not installed."
			;;
	esac >"$RUN/temp.conf"
	say "dynamic_library_path = '$libdir:\$libdir'" >>"$RUN/temp.conf"
}

# ---------------------------------------------------------------------------
# Servers
# ---------------------------------------------------------------------------

# start_cluster NAME [SETTING...]: starts a server on a new cluster, or again
# on that of a stopped one, with more settings, each a line of postgresql.conf.
# It is durable, as servers are, and listens on a socket in $RUN only.  PGHOST,
# PGPORT, PGUSER and PGDATABASE then lead there; its log is $RUN/NAME.log.
# SERVER, where set, is a program that becomes the server.
start_cluster()
{
	local dir=$RUN/$1

	export PGHOST=$RUN PGUSER=postgres PGDATABASE=postgres
	if [ ! -e "$dir" ]; then
		as_user initdb -D "$dir" -U postgres -A trust -E UTF8 --no-sync \
			--no-instructions >"$RUN/initdb.log"
		CLUSTERS=$((${CLUSTERS:-0} + 1))
		say "port = $((5431 + CLUSTERS))" "listen_addresses = ''" \
			"unix_socket_directories = '$RUN'" "include '$RUN/temp.conf'" \
			>>"$dir/postgresql.conf"
	fi
	printf '%s\n' "${@:2}" >>"$dir/postgresql.conf"
	PGPORT=$(sed -n '/^port = / { s///p; q; }' "$dir/postgresql.conf")
	export PGPORT
	as_user pg_ctl -D "$dir" -l "$dir.log" -w -s ${SERVER:+-p "$SERVER"} start || {
		tail -n 20 "$dir.log"
		die "The server $1 did not start."
	}
}

# stop_cluster NAME [MODE]: as pg_ctl does.
stop_cluster()
{
	as_user pg_ctl -D "$RUN/$1" -m "${2:-fast}" -w -s stop
}

# sql ARGUMENT...: psql on the server started last, ending at the first error.
sql()
{
	psql -X -q -v ON_ERROR_STOP=1 "$@"
}

# find_token TOKEN FILE...: says where it stands in logs or outputs, in any form,
# but for the statements by which the server was told it.
find_token()
{
	TOKEN=$1 perl -I"$ROOT/test/t" -MSecret -0777 -ne 'print
		map { "$ARGV: $_->{form}: $_->{around}\n" } Secret->new($ENV{TOKEN})->find(
		Secret::log_without_statements($_))' "${@:2}"
}

# ---------------------------------------------------------------------------
# The stand-in for Domo
# ---------------------------------------------------------------------------

# start_domo [OPTION...]: starts test/domo/domo.py with these options, its
# record in $RUN/domo.  What its first line tells is exported with DOMO_ before
# each name (DOMO_PORT, DOMO_CONTROL_PORT, DOMO_TOKEN; DOMO_TLS_PORT and
# DOMO_CA_FILE with --tls; …), and DOMO_URL, DOMO_TLS_URL and DOMO_CONTROL are
# the URLs.  It ends with this shell, because its standard input does.
start_domo()
{
	local out line=

	coproc DOMO_PROCESS {
		as_user python3 test/domo/domo.py --dir "$RUN/domo" "$@" \
			2>"$RUN/domo.log"
	}
	# no longer set where the process has ended already
	out=${DOMO_PROCESS[0]:-}
	[ -z "$out" ] || read -r -t 60 line <&"$out" || true
	[ -n "$line" ] || {
		cat "$RUN/domo.log"
		die "The stand-in for Domo did not start."
	}
	eval "$(python3 - "$line" <<-'END'
		import json, shlex, sys
		for name, value in json.loads(sys.argv[1]).items():
		    if value is not None:
		        print(f"export DOMO_{name.upper()}={shlex.quote(str(value))}")
	END
	)"
	export DOMO_URL=http://127.0.0.1:$DOMO_PORT
	export DOMO_TLS_URL=${DOMO_TLS_PORT:+https://localhost:$DOMO_TLS_PORT}
	export DOMO_CONTROL=http://127.0.0.1:$DOMO_CONTROL_PORT
}

stop_domo()
{
	local fd=${DOMO_PROCESS[1]:-} pid=${DOMO_PROCESS_PID:-}

	[ -z "$fd" ] || exec {fd}>&-
	[ -z "$pid" ] || wait "$pid" 2>/dev/null || true
	unset "${!DOMO_@}"
}
