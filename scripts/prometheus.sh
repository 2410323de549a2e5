#!/bin/sh
# Finds Prometheus or unpacks Debian's package into the user's cache (no service is installed or started).
# Without it Serinus scrapes its targets directly and says so; this script then says why.
set -eu
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/serinus/prometheus"

command -v prometheus >/dev/null 2>&1 && exit 0
[ -x "$CACHE/usr/bin/prometheus" ] && exit 0
without() { echo "· no Prometheus here ($1): Serinus will scrape its targets directly" >&2; exit 1; }
command -v apt-get >/dev/null 2>&1 || without "apt-get is not on this machine; install Prometheus and put it on PATH to use it"
echo "· unpacking Debian's Prometheus into the cache"
mkdir -p "$CACHE/download"
cd "$CACHE/download"
apt-get download prometheus >/dev/null 2>&1 || {
  [ "$(id -u)" = 0 ] && apt-get update >/dev/null 2>&1
  apt-get download prometheus >/dev/null 2>&1
} || without "apt-get could not download the package"
dpkg -x prometheus_*.deb "$CACHE" || without "the package could not be unpacked"
rm -rf "$CACHE/download"
