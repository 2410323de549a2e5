# What a machine must have for the test bed: what is missing is installed where that is possible, else said in a sentence.

NODE_PACKAGES="containerd runc containernetworking-plugins iptables nftables conntrack"
NODE_COMMANDS="containerd runc iptables nft conntrack $CNI_BIN/bridge ip nsenter"
NODE_PROGRAMS="etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl load"
NODE_PROGRAMS+=" coredns pause helm envoy-gateway kserve-manager kserve-llmisvc prometheus $(printf 'knative-%s ' $KNATIVE)"
LIGHT_PROGRAMS="etcd kube-apiserver kube-controller-manager kube-scheduler kubectl load kwok kserve-manager"
NODE_IMAGES="load pause coredns envoy-gateway envoy kserve-manager kserve-llmisvc storage-initializer prometheus"
NODE_IMAGES+=" $(printf 'knative-%s ' $KNATIVE ingress)"
NEWEST_MODULE=kserve   # the one whose go.mod asks for the newest Go

missing_commands() { local c; for c in "$@"; do command -v "$c" >/dev/null || echo "$c"; done; }

debian_packages() { # COMMANDS PACKAGES: install the packages if one of the commands is missing; quick when none is
  [ -n "$(missing_commands $1)" ] || return 0
  say "installing Debian packages: $2"
  apt-get update -qq && apt-get install -y -qq --no-install-recommends $2 >"$CACHE/apt.log" 2>&1 \
    || { tail -5 "$CACHE/apt.log" >&2; die "apt-get install $2 failed"; }
}

why_no_go() { # a sentence if the programs cannot be built here; nothing if they can
  if ! command -v go >/dev/null; then echo "Go is not on this machine."; return; fi
  # Asking for the version inside a module makes Go fetch the newer toolchain that go.mod names, where it may.
  (cd "$HERE/go/$NEWEST_MODULE" && go version >/dev/null 2>"$CACHE/go.log") && return
  echo "Go is too old here ($(head -1 "$CACHE/go.log"))."
}

check_programs() { # PROGRAM...: built, or an end with the reason
  local p why
  for p in "$@"; do
    [ -x "$(find_bin "$p")" ] && continue
    why=$(why_no_go)
    [ -z "$why" ] || cannot "$why The test bed's programs are not built (the first is $p)." \
      "Install Go $(sed -n 's/^go //p' "$HERE/go/$NEWEST_MODULE/go.mod") or newer and run: make test-cluster. Or name a folder with the programs: SERINUS_TESTBED_BIN."
    cannot "The test bed's programs are not built (the first is $p)." \
      "This builds them once, in about 15 minutes: make test-cluster"
  done
}

check_light() {
  local missing
  check_programs $LIGHT_PROGRAMS
  [ -d "$(source_dir kserve)" ] || cannot "KServe's manifests are not there yet." "This fetches them: make test-cluster"
  missing=$(missing_commands openssl curl python3)
  [ -z "$missing" ] || cannot "The test bed needs commands that this machine lacks: $(echo $missing)." \
    "Install them, then run: make test-cluster"
}

check_node() {
  local missing
  [ "$(id -u)" = 0 ] || cannot "The node needs root." "As root: make test-cluster"
  unshare --mount --net --pid --uts --fork true 2>/dev/null \
    || cannot "This kernel or container gives no new namespaces." "On a machine that does: make test-cluster"
  missing=$(missing_commands $NODE_COMMANDS)
  [ -z "$missing" ] || command -v apt-get >/dev/null \
    || cannot "The node needs commands that this machine lacks: $(echo $missing)." \
      "Install what Debian calls $NODE_PACKAGES, then run: make test-cluster"
  check_light
  check_programs $NODE_PROGRAMS
  for missing in $NODE_IMAGES; do
    [ -e "$(image_file "$missing")" ] || cannot "The image $missing is not made yet." "This makes it: make test-cluster"
  done
}

cmd_check() { if [ -n "$LIGHT" ]; then check_light; else check_node; fi; }
