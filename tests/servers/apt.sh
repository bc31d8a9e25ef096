#!/bin/sh
# Unpacks packages of Debian's unstable into a directory, by a private apt: nothing of this host is changed.
#     tests/servers/apt.sh DIRECTORY PACKAGE[>=VERSION]…
set -eu
mkdir -p "$1"
into=$(cd "$1" && pwd)
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v '^ *#' | grep -o 'http[^ ]*/debian/\?\( \|$\)' | head -n 1 | tr -d ' ')
printf 'deb [signed-by=%s] %s sid main\n' "$keys" "${mirror:-http://deb.debian.org/debian}" > "$work/sources.list"

# Mirrors keep unstable for longer than its index says; its signature is looked at all the same.
apt() {
    apt-get --quiet -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferencesparts=/dev/null -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" \
        -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root "$@" > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
}

apt update
cd "$work"
for wanted in "$@"; do
    name=${wanted%%>=*}
    apt download "$name"
    package=$(echo "$name"_*.deb)
    least=${wanted#"$name"}
    dpkg --compare-versions "$(dpkg-deb -f "$package" Version)" ge "${least#>=}" \
        || { echo "unstable has $package, and $wanted is needed" >&2; exit 1; }
    dpkg-deb -x "$package" "$into"
done
