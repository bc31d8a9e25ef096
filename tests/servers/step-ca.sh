#!/bin/sh
# Builds step-ca from Debian's sources, which package it as a library only: its program is one file of the source package,
# and is built against the library and all that it needs, in a root file system of unstable that is thrown away afterwards.
# Needs root, mmdebstrap, 5 GB while it builds and some minutes.
#     tests/servers/step-ca.sh DIRECTORY
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
works() { "$out/step-ca" version > /dev/null 2>&1; }
! works || exit 0

# Not below /tmp, which may be memory.
work=$(mktemp -d "$out/.step-ca.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
logged() { "$@" > "$work/log" 2>&1 || { tail -n 50 "$work/log" >&2; exit 1; }; }

mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v '^ *#' | grep -o 'http[^ ]*/debian/\?\( \|$\)' | head -n 1 | tr -d ' ')
mirror=${mirror:-http://deb.debian.org/debian}
# Mirrors keep unstable for longer than its index says; its signature is looked at all the same.
logged mmdebstrap --quiet --mode=root --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' \
    --include=ca-certificates,golang-go,gcc,libc6-dev,libpcsclite-dev,pkgconf,xz-utils,golang-github-smallstep-certificates-dev,golang-github-smallstep-cli-dev \
    sid "$work/root" "$mirror"
printf 'deb-src %s sid main\n' "$mirror" >> "$work/root/etc/apt/sources.list"
# The mirror need have only the original file of the source package. The key stores that Debian does not package, and that
# no test asks for, are plugged in by blank imports.
cat > "$work/root/build.sh" << 'END'
source=golang-github-smallstep-certificates
mkdir -p /gopath/src/step-ca
cd /gopath/src/step-ca
apt-get --quiet -o Acquire::Check-Valid-Until=false update
apt-get -o Acquire::Check-Valid-Until=false --print-uris --download-only source "$source" | grep '\.orig\.tar' > uri
read -r url name size sum < uri
url=${url#\'}
/usr/lib/apt/apt-helper download-file "${url%\'}" /gopath/source.tar "$sum"
tar -xf /gopath/source.tar --wildcards --strip-components=3 '*/cmd/step-ca/main.go'
sed -i -E '/^\t_ .*\/(kms\/(awskms|azurekms|cloudkms|pkcs11|sshagentkms|tpmkms|yubikey)|cas\/(cloudcas|vaultcas))"/d' main.go
version=$(dpkg-query -W -f '${Version}' "$source-dev" | sed 's/-.*//')
GO111MODULE=off GOPATH=/gopath:/usr/share/gocode CGO_ENABLED=1 go build -o /step-ca -ldflags "-s -w -X main.Version=$version" .
END
# What is mounted in there goes with the namespace.
logged unshare --mount --pid --fork --kill-child sh -euc '
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    chroot "$1" sh -eu /build.sh' build "$work/root"
mv "$work/root/step-ca" "$out/step-ca"
works
