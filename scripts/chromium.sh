#!/bin/sh
# Finds Chromium or installs Debian's, for the tests that look at the dashboard as a person would.
# Without it those tests say at the end that they could not run; this script then says why.
set -eu
for name in chromium chromium-browser google-chrome; do command -v "$name" >/dev/null 2>&1 && exit 0; done
without() { echo "· no Chromium here ($1): the tests of the dashboard in a browser cannot run" >&2; exit 1; }
command -v apt-get >/dev/null 2>&1 || without "apt-get is not on this machine; install Chromium to run them"
[ "$(id -u)" = 0 ] || without "installing it needs root: apt-get install chromium"
echo "· installing Debian's Chromium for the tests of the dashboard"
apt-get install -y -qq --no-install-recommends chromium >/dev/null 2>&1 || {
  apt-get update >/dev/null 2>&1 && apt-get install -y -qq --no-install-recommends chromium >/dev/null 2>&1
} || without "apt-get could not install it"
