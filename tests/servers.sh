#!/bin/sh
# Fetches the certificate authorities that the scenarios talk to, and that no machine of theirs has in its release, into a
# directory: each by its own script beside this one. Where one cannot be had, this says so, and the scenarios
# that need it are not run.
#     tests/servers.sh DIRECTORY
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
for script in "$(dirname "$0")"/servers/*.sh; do
    name=$(basename "$script" .sh)
    case $name in
        apt) continue ;; # The means of others.
        step-ca) continue ;; # Built for minutes: `make test-step`.
        spiffe) continue ;; # Built for minutes: `make test-spiffe`.
    esac
    "$script" "$out" || { rm -rf "${out:?}/$name"; echo "NOT HAD: $name, so the scenarios that need it will not be run" >&2; }
done
