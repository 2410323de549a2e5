# Light mode: the API server and controllers as plain processes on loopback; kwok plays nodes, pods and the gateway.

start() { # NAME COMMAND...
  local name=$1
  shift
  setsid "$@" </dev/null >"$RUN/log/$name.log" 2>&1 &
  echo $! > "$RUN/$name.pid"
}
alive() { # NAME: true while it runs; a stale file may name a stranger
  local pid
  pid=$(cat "$RUN/$1.pid" 2>/dev/null) && tr '\0' ' ' < "/proc/$pid/cmdline" 2>/dev/null | grep -q -e "$CACHE" -e "${SERINUS_TESTBED_BIN:-$CACHE}"
}

up_light() {
  local program sources api=https://127.0.0.1:$((PORTS + 43))
  for program in $LIGHT_PROGRAMS; do bin "$program" >/dev/null; done
  sources=$(source_dir kserve)
  if alive kserve && api_ok "$api"; then say "the light test bed is up"; return; fi
  down_light
  mkdir -p "$RUN/log"
  cd "$RUN"
  light_api "$api"
  kserve_base "$sources"
  start kwok "$(bin kwok)" --kubeconfig="$KUBECONFIG" --manage-all-nodes=true --node-lease-duration-seconds=40 \
    --config="$HERE/manifests/kwok.yaml"
  k create -f "$HERE/manifests/fake-nodes.yaml" >/dev/null   # create, not apply: only create keeps a node's status
  ssa -f "$HERE/manifests/fake-gateway.yaml"
  light_kserve "$sources"
  say "kserve ready"
}
light_api() { # URL
  local etcd=http://127.0.0.1:$((PORTS + 79)) peer=http://127.0.0.1:$((PORTS + 80))
  openssl genrsa -out sa.key 2048 2>/dev/null
  echo 'admintoken,admin,admin,"system:masters"' > tokens.csv
  write_kubeconfig kubeconfig "$1"
  start etcd "$(bin etcd)" --data-dir "$RUN/etcd" --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer" --unsafe-no-fsync
  start apiserver "$(bin kube-apiserver)" --etcd-servers="$etcd" --bind-address=127.0.0.1 --secure-port=$((PORTS + 43)) \
    --cert-dir="$RUN/certs" --service-cluster-ip-range="$SVC_CIDR" --service-account-key-file=sa.key \
    --service-account-signing-key-file=sa.key --service-account-issuer=https://kubernetes.default.svc \
    --token-auth-file=tokens.csv --authorization-mode=RBAC --allow-privileged=true
  retry 120 "the API server" "$RUN/log/apiserver.log" api_ok "$1"
  say "API server ready"
  start controller-manager "$(bin kube-controller-manager)" --kubeconfig="$KUBECONFIG" --controllers='*' \
    --service-account-private-key-file=sa.key --bind-address=127.0.0.1 --secure-port=$((PORTS + 57)) --leader-elect=false
  start scheduler "$(bin kube-scheduler)" --kubeconfig="$KUBECONFIG" --bind-address=127.0.0.1 \
    --secure-port=$((PORTS + 59)) --leader-elect=false
}
light_kserve() { # SOURCES
  local certs=$RUN/tmp/k8s-webhook-server/serving-certs probe=127.0.0.1:$((PORTS + 82))
  kserve_cert "$certs" kserve-webhook-server-service   # controller-runtime looks for it under TMPDIR; there is no flag
  # The webhook server binds all interfaces, and no flag changes that; metrics and probes are put on loopback.
  start kserve env TMPDIR="$RUN/tmp" POD_NAMESPACE=kserve "$(bin kserve-manager)" --kubeconfig="$KUBECONFIG" \
    --metrics-addr=127.0.0.1:$((PORTS + 81)) --health-probe-addr="$probe" --webhook-port=$((PORTS + 83))
  retry 120 "the KServe manager" "$RUN/log/kserve.log" curl -fs "http://$probe/readyz"
  kserve_webhooks "$1/config/webhook/manifests.yaml" kserve-webhook-server-service "$certs/tls.crt" \
    https://127.0.0.1:$((PORTS + 83))
  sample_runtime
}

down_light() ( # controllers, then the API server, then etcd: with etcd gone first the API server hangs for minutes
  set +e
  local group name pid pids
  for group in "kserve kwok scheduler controller-manager" apiserver etcd; do
    pids=
    for name in $group; do ! alive "$name" || pids+=" $(cat "$RUN/$name.pid")"; done
    [ -z "$pids" ] || kill $pids
    for pid in $pids; do
      for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
      kill -9 "$pid" 2>/dev/null
    done
  done
  rm -rf "$RUN"
)
