#!/bin/sh
# Installs what the packages and the scenarios need on Debian and Ubuntu, when it may; else says what to install. Rust is
# not installed, only looked at: `tests/prepare.sh rust` does just that.
set -eu
cd "$(dirname "$0")/.."

# Distributions bring an older one. As root it is often merely not found: sudo has a PATH of its own.
needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
help="install it by https://rustup.rs; where your own user has it: sudo env PATH=\"\$PATH\" HOME=\"\$HOME\" make …"
command -v cargo >/dev/null && command -v rustc >/dev/null || { echo "Rust $needed or newer is missing: $help" >&2; exit 1; }
found=$(rustc --version | cut -d ' ' -f 2)
if [ "$(printf '%s\n' "$needed" "$found" | sort -V | head -n 1)" != "$needed" ]; then
    echo "Rust $needed or newer is needed, and $(command -v rustc) is $found: $help" >&2
    exit 1
fi
[ "${1:-}" != rust ] || exit 0

packages=
need() { command -v "$1" >/dev/null || packages="$packages $2"; }
need systemd-nspawn systemd-container
need mmdebstrap mmdebstrap
need dpkg-shlibdeps dpkg-dev
need cc build-essential
need openssl openssl
need lintian lintian
need rpmlint rpmlint
need rpm rpm
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || packages="$packages debian-archive-keyring"
python3 -c 'import ensurepip, venv' 2>/dev/null || packages="$packages python3-venv"
if [ -n "$packages" ]; then
    as_root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null && sudo -n true 2>/dev/null || { echo "as root: apt-get install$packages" >&2; exit 1; }
        as_root=sudo
    fi
    command -v apt-get >/dev/null || { echo "this host has no apt-get; install what Debian calls:$packages" >&2; exit 1; }
    $as_root apt-get update --quiet
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends $packages
fi

# The scanner, apart from the host's own Python packages. The list beside it says that it is whole.
scanner=${CARGO_TARGET_DIR:-target}/sslyze
if ! cmp --quiet tests/sslyze.txt "$scanner/installed.txt"; then
    rm -rf "$scanner"
    python3 -m venv "$scanner"
    "$scanner/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --no-binary sslyze --no-deps --requirement tests/sslyze.txt
    cp tests/sslyze.txt "$scanner/installed.txt"
fi
