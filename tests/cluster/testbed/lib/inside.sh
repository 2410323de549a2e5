#!/usr/bin/env bash
# Process 1 of the node (started by node.sh): sets up mounts and the network, keeps every daemon running, reaps orphans.
# When it dies the kernel ends every process of the node, pods included, and drops every mount and interface.
set -euo pipefail
. "$(dirname "$0")/common.sh"

mounts() {
  # A private shared tree: kubelet and containerd need shared propagation, the host must see none of it.
  mount --make-rprivate /
  mount --make-rshared /
  mount -t tmpfs tmpfs /run
  mkdir -p /run/netns
  mount --bind "$RUN/varlog" /var/log
  # Paths that kubelet and libcni hard-code are bound to the run's own folders, so the host's stay untouched.
  mkdir -p /var/lib/cni /var/lib/kubelet "$RUN/varlib-cni" "$RUN/varlib-kubelet"
  mount --bind "$RUN/varlib-cni" /var/lib/cni
  mount --bind "$RUN/varlib-kubelet" /var/lib/kubelet
}

network() {
  for _ in $(seq 500); do [ ! -e "$RUN/link.ready" ] || break; sleep 0.02; done
  rm -f "$RUN/link.ready"
  hostname node
  ip link set lo up
  ip addr add "$NODE_IP/$LINK_BITS" dev "$NODE_IF"
  ip link set "$NODE_IF" up
  # Programs reach Service addresses only if some route exists; all go to the host's end, which forwards nothing.
  ip route add default via "$HOST_IP"
  sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1 net.ipv4.conf.all.route_localnet=1 || true
}

keys() {
  openssl genrsa -out sa.key 2048 2>/dev/null
  echo 'admintoken,admin,admin,"system:masters"' > tokens.csv
  # The certificate with which the API server calls the kubelet (exec, logs, port-forward).
  openssl req -x509 -newkey rsa:2048 -nodes -keyout kca.key -out kca.crt -days 30 -subj "/CN=kubelet-client-ca" 2>/dev/null
  openssl req -newkey rsa:2048 -nodes -keyout kc.key -out kc.csr \
    -subj "/O=system:masters/CN=kube-apiserver-kubelet-client" 2>/dev/null
  openssl x509 -req -in kc.csr -CA kca.crt -CAkey kca.key -CAcreateserial -out kc.crt -days 30 2>/dev/null
  write_kubeconfig kubeconfig "https://$NODE_IP:6443"
  : > resolv.conf
}

pod_network() {
  cat > cni/net.d/10-bridge.conflist <<K
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$RUN/cni/state", "ranges": [[{"subnet": "$POD_CIDR"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
K
}

containerd_settings() {
  cat > containerd.toml <<K
version = 2
root = "$RUN/containerd/root"
state = "$RUN/containerd/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "$RUN/containerd.sock"
[ttrpc]
  address = "$RUN/containerd.ttrpc.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$RUN/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:testbed"
  disable_apparmor = true
  # Root may lack CAP_SYS_RESOURCE (in some VMs): never ask for an oom_score_adj below our own, or runc fails in nsexec.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$CNI_BIN"
    conf_dir = "$RUN/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
K
}

kubelet_settings() {
  cat > kubelet.yaml <<K
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false      # on cgroup v1 kubelet refuses to start otherwise
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failSwapOn: false
containerRuntimeEndpoint: unix://$RUN/containerd.sock
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $RUN/kca.crt}}
authorization: {mode: Webhook}
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
resolvConf: $RUN/resolv.conf
podLogsDir: /var/log/pods
volumePluginDir: $RUN/k8s-exec
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: "100Mi", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
enforceNodeAllocatable: [pods]
syncFrequency: 5s
nodeStatusUpdateFrequency: 5s
serializeImagePulls: false
registryPullQPS: 0
kubeAPIQPS: 200
kubeAPIBurst: 400
K
}

proxy_settings() {
  cat > proxy.yaml <<K
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $RUN/kubeconfig}
hostnameOverride: node
clusterCIDR: $POD_CIDR
# In a network namespace kube-proxy must not touch conntrack's limits.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nftables: {minSyncPeriod: 0s, syncPeriod: 30s}
iptables: {minSyncPeriod: 0s, syncPeriod: 30s}
K
}

keep() { # NAME COMMAND...: run a daemon, and again whenever it ends; its process id stands in NAME.inner
  local name=$1
  shift
  (
    while :; do
      "$@" >> "$RUN/log/$name.log" 2>&1 &
      echo $! > "$RUN/$name.inner"
      wait $! || true
      echo "$name ended; it is started again" >> "$RUN/log/$name.log"
      sleep 0.5
    done
  ) &
}

daemons() {
  local etcd=http://127.0.0.1:2379 peer=http://127.0.0.1:2380 auth
  keep containerd containerd --config "$RUN/containerd.toml"
  keep etcd "$(bin etcd)" --data-dir "$RUN/etcd" --listen-client-urls $etcd --advertise-client-urls $etcd \
    --listen-peer-urls $peer --initial-advertise-peer-urls $peer --initial-cluster default=$peer --unsafe-no-fsync
  keep apiserver "$(bin kube-apiserver)" --etcd-servers=$etcd --bind-address=0.0.0.0 --advertise-address="$NODE_IP" \
    --secure-port=6443 --cert-dir="$RUN/certs" --service-cluster-ip-range="$SVC_CIDR" \
    --service-account-key-file=sa.key --service-account-signing-key-file=sa.key \
    --service-account-issuer=https://kubernetes.default.svc --token-auth-file=tokens.csv --authorization-mode=RBAC \
    --allow-privileged=true --kubelet-preferred-address-types=InternalIP \
    --kubelet-client-certificate=kc.crt --kubelet-client-key=kc.key
  retry 120 "the API server" "$RUN/log/apiserver.log" api_ok https://127.0.0.1:6443
  auth="--kubeconfig=kubeconfig --authentication-kubeconfig=kubeconfig --authorization-kubeconfig=kubeconfig"
  keep controller-manager "$(bin kube-controller-manager)" $auth --leader-elect=false --cert-dir="$RUN/certs-kcm" \
    --service-account-private-key-file=sa.key --root-ca-file=certs/apiserver.crt \
    --allocate-node-cidrs=true --cluster-cidr="$POD_CIDR" --node-cidr-mask-size=24 --kube-api-qps=200 --kube-api-burst=400
  keep scheduler "$(bin kube-scheduler)" $auth --leader-elect=false --cert-dir="$RUN/certs-sched"
  keep kubelet "$(bin kubelet)" --config=kubelet.yaml --kubeconfig=kubeconfig --root-dir="$RUN/kubelet" \
    --cert-dir="$RUN/certs-kubelet" --hostname-override=node --node-ip="$NODE_IP" --v=2
  keep proxy "$(bin kube-proxy)" --config=proxy.yaml --v=2
}

mounts
network
cd "$RUN"
keys
pod_network
containerd_settings
kubelet_settings
proxy_settings
daemons
touch "$RUN/inside.ready"
trap 'exit 0' TERM INT
while :; do wait -n || true; sleep 0.2; done
