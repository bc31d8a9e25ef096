#!/bin/sh
# Builds a SPIFFE Workload API into a directory: the fake that go-spiffe, the reference implementation, is tested with.
# Debian's unstable has its source in a package of a library; it is built in a root file system of unstable, which is thrown
# away afterwards. Needs root, mmdebstrap, 2 GB while it builds and some minutes; nothing of this host is changed. Does nothing
# where the directory has it already.
#     tests/servers/spiffe.sh DIRECTORY
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
works() { "$out/spiffe" -test.list TestServe 2> /dev/null | grep -qx TestServe; }
! works || exit 0

work=$out/spiffe.work
rm -rf --one-file-system "$work"
trap 'rm -rf --one-file-system "$work"' EXIT
mkdir "$work"
logged() { "$@" > "$work/log" 2>&1 || { tail -n 50 "$work/log" >&2; exit 1; }; }

mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v '^ *#' | grep -o 'http[^ ]*/debian/\?\( \|$\)' | head -n 1 | tr -d ' ')
# Mirrors keep unstable for longer than its index says; its signature is looked at all the same.
logged mmdebstrap --quiet --mode=root --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' \
    --include=golang-go,golang-github-spiffe-go-spiffe-dev sid "$work/root" "${mirror:-http://deb.debian.org/debian}"
cp "$here/spiffe/listener.go" "$here/spiffe/serve_test.go" "$work/root/"
# What may import the internal packages of a library must lie below it, and what is Debian's is not written to.
cat > "$work/root/build.sh" << 'END'
library=src/github.com/spiffe/go-spiffe
mkdir -p "/gopath/$library"
cp -R "/usr/share/gocode/$library/." "/gopath/$library/"
fake=/gopath/$library/v2/internal/test/fakeworkloadapi
rm "$fake"/workload_api_posix.go "$fake"/*_test.go || true
mv /listener.go /serve_test.go "$fake/"
cd "$fake"
GO111MODULE=off GOPATH=/gopath:/usr/share/gocode CGO_ENABLED=0 go test -c -ldflags '-s -w' -o /spiffe .
END
# What is mounted in there goes with the namespace.
logged unshare --mount --pid --fork --kill-child sh -euc '
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    chroot "$1" sh -eu /build.sh' build "$work/root"
mv "$work/root/spiffe" "$out/spiffe"
works
