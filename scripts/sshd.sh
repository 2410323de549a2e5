#!/bin/sh
# Finds OpenSSH's server or installs Debian's, for the test that goes to a git repository over ssh on loopback.
# No service is started or left running. Without it that test fails and says so; this script then says why.
set -eu
[ -x /usr/sbin/sshd ] && exit 0
command -v sshd >/dev/null 2>&1 && exit 0
without() { echo "· no ssh server here ($1): the way to git over ssh cannot be tested" >&2; exit 1; }
command -v apt-get >/dev/null 2>&1 || without "apt-get is not on this machine; install OpenSSH's server"
[ "$(id -u)" = 0 ] || without "installing it needs root: apt-get install openssh-server"
# With an init system the package would open port 22 to the world; that is for the machine's owner to decide.
[ ! -d /run/systemd/system ] || without "the package would start a service; install it yourself if you want that"
echo "· installing Debian's OpenSSH server for the test of git over ssh"
install() { RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openssh-server >/dev/null 2>&1; }
install || { apt-get update >/dev/null 2>&1 && install; } || without "apt-get could not install it"
