#!/bin/sh
# Fetches estserver, the EST server of Cisco's libest, from Debian's unstable. Not every supported release has its
# libraries, so those come along, with the loader that knows them: what is put there is a directory and a script that starts it.
#     tests/servers/estserver.sh DIRECTORY
set -eu
out=$1
# Asked for its manners it says them, and fails.
works() { [ -x "$out/estserver" ] && "$out/estserver" -? 2>&1 | grep -q verbose; }
! works || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$(dirname "$0")/apt.sh" "$work" 'libest-utils>=3.2.0' libest3 libc6 libssl3t64 libzstd1 zlib1g
find "$work" | grep -E 'estserver|ld-linux|libest|libssl|libcrypto'
du -sh "$work"; cp -a $work /tmp/estx
