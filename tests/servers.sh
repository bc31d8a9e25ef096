#!/bin/sh
# Fetches the certificate authorities that the scenarios talk to, and that no machine of theirs has in its release, into a
# directory: pebble 2.10, which Debian's unstable has and which runs on every supported release. By a private apt, so
# that nothing of this host is changed. Where it cannot be had, it says so, and the scenarios of ACME are not run.
#     tests/servers.sh DIRECTORY
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
works() { "$out/pebble" -version > /dev/null 2>&1; }
works && exit 0
rm -f "$out/pebble"

fetch() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v '^ *#' | grep -o 'http[^ ]*/debian/\?\( \|$\)' | head -n 1 | tr -d ' ')
    printf 'deb [signed-by=%s] %s sid main\n' "$keys" "${mirror:-http://deb.debian.org/debian}" > "$work/sources.list"
    apt update
    cd "$work"
    apt download pebble
    dpkg-deb -x pebble_*.deb "$work/pebble"
    # The one that is looked for comes last.
    mv "$work/pebble/usr/bin/pebble-challtestsrv" "$out/"
    mv "$work/pebble/usr/bin/pebble" "$out/"
}

apt() {
    # Mirrors keep unstable for longer than its index says; its signature is looked at all the same.
    apt-get --quiet -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferencesparts=/dev/null -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" \
        -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root "$@" > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
}

# Not in a condition: there, a failing step would not end it.
set +e
(set -e; fetch)
set -e
works || { rm -f "$out/pebble"; echo "NOT HAD: pebble, so the scenarios of ACME will not be run" >&2; }
