#!/bin/sh
# Fetches cfssl, which Debian's unstable has in a version that runs on every supported release.
#     tests/servers/cfssl.sh DIRECTORY
set -eu
out=$1
works() { "$out/cfssl" version > /dev/null 2>&1; }
! works || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$(dirname "$0")/apt.sh" "$work" 'golang-cfssl>=1.6'
mv "$work/usr/bin/cfssl" "$out/"
works
