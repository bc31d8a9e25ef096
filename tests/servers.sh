#!/bin/sh
# Fetches the certificate authorities that the scenarios talk to, and that no machine of theirs has in its release, into a
# directory: pebble 2.10, which Debian's unstable has and which runs on every supported release. By a private apt, so
# that nothing of this host is changed.
#     tests/servers.sh DIRECTORY
set -eu
out=$1
[ -x "$out/pebble" ] && exit 0
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v '^ *#' | grep -o 'http[^ ]*/debian/\?\( \|$\)' | head -n 1 | tr -d ' ')
printf 'deb [signed-by=%s] %s sid main\n' "$keys" "${mirror:-http://deb.debian.org/debian}" > "$work/sources.list"
apt() {
    # Mirrors keep unstable for longer than its index says; its signature is looked at all the same.
    apt-get --quiet -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferencesparts=/dev/null -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" \
        -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root "$@" > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
}
apt update
cd "$work"
apt download pebble
dpkg-deb -x pebble_*.deb "$work/pebble"
mv "$work/pebble/usr/bin/pebble" "$work/pebble/usr/bin/pebble-challtestsrv" "$out/"
