#!/bin/sh
# Fetches estserver, the EST server of Cisco's libest, from Debian's unstable. Not every supported release has the
# libraries that it needs, so they come along, with the loader that belongs to them.
#     tests/servers/estserver.sh DIRECTORY
set -eu
out=$1
works() { [ -x "$out/estserver" ] && "$out/estserver" '-?' 2>&1 | grep -q 'Available EST server options'; }
! works || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$(dirname "$0")/apt.sh" "$work" 'libest-utils>=3.2.0' libest3 libc6 libssl3t64 libzstd1 zlib1g
rm -rf "${out:?}/est"
mkdir -p "$out/est"
mv "$work"/usr/lib/*-linux-gnu*/*.so* "$work/usr/bin/estserver" "$out/est/"
cat > "$out/estserver" <<'END'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")/est
exec "$here"/ld-linux*.so.* --library-path "$here" "$here/estserver" "$@"
END
chmod +x "$out/estserver"
works
