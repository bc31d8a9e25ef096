#!/bin/sh
# Installs what the packages and the scenarios need on Debian and Ubuntu, when it may; else says what to install.
set -eu

packages=
need() { command -v "$1" >/dev/null || packages="$packages $2"; }
need systemd-nspawn systemd-container
need mmdebstrap mmdebstrap
need dpkg-shlibdeps dpkg-dev
need cc build-essential
need openssl openssl
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || packages="$packages debian-archive-keyring"
[ -n "$packages" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null && sudo -n true 2>/dev/null || { echo "as root: apt-get install$packages" >&2; exit 1; }
    as_root=sudo
fi
command -v apt-get >/dev/null || { echo "this host has no apt-get; install what Debian calls:$packages" >&2; exit 1; }
$as_root apt-get update --quiet
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends $packages
