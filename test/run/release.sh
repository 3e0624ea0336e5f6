# shellcheck shell=bash # sourced, never run
#
# test/run/release.sh
#	What a release consists of; for test/run/dist and test/run/deb, after
#	test/run/lib.sh.
#
# Must not know how it is packed.

# What git would take from the checkout; where there is no git, what an archive
# of it brought.
release_files()
{
	if [ -e "$ROOT/.git" ]; then
		git -C "$ROOT" -c safe.directory='*' ls-files -z --cached --others \
			--exclude-standard
	else
		(cd "$ROOT" && find . -type f ! -path './.build/*' ! -name '*.o' \
			! -name '*.bc' ! -name '*.so' ! -path '*/__pycache__/*' \
			-printf '%P\0')
	fi
}

# copy_release DIR: those files, with the time of the release.
copy_release()
{
	mkdir -p "$1"
	release_files | tar -C "$ROOT" --null --ignore-failed-read -T - -cf - \
		2>"$RUN/copy.log" | tar -C "$1" -xf -
	find "$1" -exec touch -h -d "@$(release_time)" {} +
}

release_version()
{
	python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["version"])' \
		"$ROOT/META.json"
}

# Seconds since 1970: of the last commit, without git of the log of changes.
release_time()
{
	if [ -n "${SOURCE_DATE_EPOCH:-}" ]; then
		say "$SOURCE_DATE_EPOCH"
	elif [ -e "$ROOT/.git" ]; then
		git -C "$ROOT" -c safe.directory='*' log -1 --format=%ct
	else
		stat -c %Y "$ROOT/CHANGELOG.md"
	fi
}
