#!/bin/sh
# Fetches pebble, which Debian's unstable has and which runs on every supported release, with the server of names that its
# tests use. Since 2.10 it has the flags that the scenarios give it, and can be told what it advises of a renewal.
#     tests/servers/pebble.sh DIRECTORY
set -eu
out=$1
works() { "$out/pebble" -version > /dev/null 2>&1; }
! works || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$(dirname "$0")/apt.sh" "$work" 'pebble>=2.10'
mv "$work/usr/bin/pebble-challtestsrv" "$work/usr/bin/pebble" "$out/"
works
