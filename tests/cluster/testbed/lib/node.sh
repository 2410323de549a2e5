# The node: one set of mount, network, pid and uts namespaces on this machine, with every daemon inside.
# lib/inside.sh is its process 1. What the node changes outside its namespaces is put back by `down`.

SYSCTLS="vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes"

node_pid() { # process 1 of the node, if it is up; a stale file may name a stranger
  local pid
  pid=$(cat "$RUN/init.pid" 2>/dev/null) && tr '\0' ' ' < "/proc/$pid/cmdline" 2>/dev/null | grep -q "lib/inside.sh" && echo "$pid"
}
# -w: nsenter -m changes the working directory.
within() { nsenter -t "$(node_pid)" -m -n -p -w"$PWD" "$@"; }
ctr() { within ctr -a "$RUN/containerd.sock" -n k8s.io "$@"; }

import_image() { # NAME...: into the node, if it has not the same already; what is new is remembered in NEW
  local name key
  for name in "$@"; do
    [ -e "$(image_file "$name")" ] || die "image $name is not built: run \`testbed build\`"
    key=$(cat "$CACHE/images/$name.key")
    [ "$(cat "$RUN/imported/$name" 2>/dev/null)" != "$key" ] || continue
    ctr images import "$(image_file "$name")" >/dev/null || die "the import of $name failed"
    echo "$key" > "$RUN/imported/$name"
    NEW+=" $name"
  done
}
renew() { # IMAGE NAMESPACE: the tag stays the same, so pods of an older import must go
  [[ " ${NEW:-} " != *" $1 "* ]] || k -n "$2" delete pods --all --wait=false >/dev/null 2>&1 || true
}

up_node() {
  if [ -n "$(node_pid)" ] && api_ok "https://$NODE_IP:6443"; then
    import_image pause coredns load
    say "the node is up"
    return
  fi
  [ "$(id -u)" = 0 ] || die "the node needs root (without it: testbed up --light)"
  unshare --mount --net --pid --uts --fork true 2>/dev/null || die "no namespaces here (without them: testbed up --light)"
  debian_packages "$NODE_COMMANDS" "$NODE_PACKAGES"
  local program
  for program in $NODE_PROGRAMS; do bin "$program" >/dev/null; done
  down_node
  mkdir -p "$RUN"/{log,etcd,certs,containerd,kubelet,cni/net.d,cni/state,varlog,k8s-exec,imported}
  save_sysctls
  make_cgroups
  start_inside
  retry 120 "the node's daemons" "$RUN/log/inside.log" test -e "$RUN/inside.ready"
  retry 120 "the API server" "$RUN/log/apiserver.log" api_ok "https://$NODE_IP:6443"
  say "API server ready"
  retry 120 "containerd" "$RUN/log/containerd.log" ctr version
  import_image pause coredns load
  retry 180 "the node to be Ready" "$RUN/log/kubelet.log" node_is_ready
  say "node Ready"
  pretend_gpus
  retry 60 "the default service account" "$RUN/log/controller-manager.log" k get serviceaccount default
  sed "s/{{DNS_IP}}/$DNS_IP/" "$HERE/manifests/coredns.yaml" | ssa -f -
  retry 180 "cluster DNS" 'k -n kube-system describe pod | tail -20' k -n kube-system rollout status deploy/coredns --timeout=5s
  say "DNS ready"
}
node_is_ready() {
  k get node node -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}' | grep -q True
}
pretend_gpus() { # extended resources are only numbers in the node's status: no device plugin is needed
  local where
  for where in capacity allocatable; do
    k patch node node --subresource=status --type=json \
      -p "[{\"op\":\"add\",\"path\":\"/status/$where/nvidia.com~1gpu\",\"value\":\"$FAKE_GPUS\"}]" >/dev/null
  done
}
save_sysctls() { # kubelet and kube-proxy write these, for the whole machine; the first node's values are the ones to put back
  local name file
  [ ! -e "$CACHE/sysctl.saved" ] || return 0
  for name in $SYSCTLS; do
    file=/proc/sys/${name//.//}
    [ ! -e "$file" ] || echo "$name=$(cat "$file")"
  done > "$CACHE/sysctl.saved"
}
make_cgroups() { # the pods' cgroup must exist in every v1 hierarchy; cpuset wants its cpus and mems copied by hand
  local tree
  for tree in /sys/fs/cgroup/*/; do
    [ -e "$tree/cgroup.procs" ] || continue
    mkdir -p "$tree$CGROUP"
    [ ! -e "$tree$CGROUP/cpuset.cpus" ] || {
      cat "$tree/cpuset.cpus" > "$tree$CGROUP/cpuset.cpus"
      cat "$tree/cpuset.mems" > "$tree$CGROUP/cpuset.mems"
    }
  done
}
start_inside() { # the namespaces, their process 1, and the link between them and this machine
  local outer init=
  setsid unshare --mount --net --pid --uts --fork --mount-proc --propagation private -- \
    bash "$HERE/lib/inside.sh" </dev/null >"$RUN/log/inside.log" 2>&1 &
  outer=$!
  for _ in $(seq 250); do init=$(pgrep -P $outer | head -1 || true); [ -z "$init" ] || break; sleep 0.02; done
  [ -n "$init" ] || { tail -5 "$RUN/log/inside.log" >&2; die "unshare failed"; }
  echo "$init" > "$RUN/init.pid"
  # Both ends' addresses are ours and no route leads further: nothing in the node can leave this machine.
  ip link add "$HOST_IF" type veth peer name "$NODE_IF"
  ip link set "$NODE_IF" netns "$init"
  ip addr add "$HOST_IP/$LINK_BITS" dev "$HOST_IF"
  ip link set "$HOST_IF" up
  ip route replace "$POD_CIDR" via "$NODE_IP"
  ip route replace "$SVC_CIDR" via "$NODE_IP"
  touch "$RUN/link.ready"
}

cmd_restart() { # DAEMON: kill -9; process 1 of the node starts it again
  local pid
  [ -n "$(node_pid)" ] || die "the node is not up"
  pid=$(cat "$RUN/${1:?DAEMON}.inner" 2>/dev/null) || die "no daemon $1; there are $(cd "$RUN" && echo *.inner | sed 's/\.inner//g')"
  within sh -c "kill -9 $pid"
}

down_node() ( # a subshell without -e: each step is tried
  set +e
  local pid left=0
  pid=$(node_pid)
  if [ -n "$pid" ]; then # process 1 of the pid namespace: the kernel ends the rest
    kill -9 "$pid"
    for _ in $(seq 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done
  fi
  ip link del "$HOST_IF" 2>/dev/null
  for _ in $(seq 20); do
    left=0
    for tree in /sys/fs/cgroup/*/; do
      [ -d "$tree$CGROUP" ] || continue
      find "$tree$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null
      [ ! -d "$tree$CGROUP" ] || left=1
    done
    [ $left = 1 ] || break
    sleep 0.2
  done
  rm -rf "$RUN"
  if [ -e "$CACHE/sysctl.saved" ] && ! compgen -G "$CACHE/run*/init.pid" >/dev/null; then
    sysctl -q -p "$CACHE/sysctl.saved" 2>/dev/null
    rm "$CACHE/sysctl.saved"
  fi
  rmdir /var/lib/cni /var/lib/kubelet 2>/dev/null   # mount points of ours, if empty
  [ $left = 0 ] || echo "cgroups left behind: $(ls -d /sys/fs/cgroup/*/"$CGROUP")"
  return 0
)
