#!/bin/sh
# `make cluster` and `make cluster-down`: the test bed with Serinus in it, and a rollout to watch.
# It needs what the test bed needs (tests/cluster/testbed/README.md) and leaves nothing running after `down`.
set -eu
cd "$(dirname "$0")/.."
TESTBED=tests/cluster/testbed/testbed
SAMPLES=tests/cluster/testbed/samples
export SERINUS_TESTBED_NUMBER="${SERINUS_TESTBED_NUMBER:-0}"

up() {
  "$TESTBED" build
  "$TESTBED" up
  echo "· an image of Serinus from this working tree (about a minute)"
  "$TESTBED" image serinus --entrypoint '["python3","-m","controlplane.cli.main"]' '.[cluster]'
  KUBECONFIG=$("$TESTBED" kubeconfig)
  export KUBECONFIG
  kubectl apply --server-side --force-conflicts -k manifests/crd >/dev/null
  "$("$TESTBED" bin helm)" upgrade --install serinus charts/serinus --namespace serinus-system --create-namespace \
    --set crds.install=false \
    --set image.repository=localhost/serinus --set image.tag=testbed --set image.pullPolicy=Never \
    --set prometheus.url=http://prometheus.monitoring.svc:9090 --wait --timeout 180s >/dev/null
  kubectl create namespace models --dry-run=client -o yaml | kubectl apply -f - >/dev/null
  kubectl apply -f "$SAMPLES/traffic.yaml" -f "$SAMPLES/good.canary.yml"
  cat <<SAY

A rollout runs: chat, in the namespace models. To watch it:

  export KUBECONFIG=$KUBECONFIG
  alias kubectl=$("$TESTBED" bin kubectl)
  kubectl get mcan -n models -w

When it is done, see a bad one rolled back:  kubectl apply -f $SAMPLES/bad.canary.yml
Afterwards:                                  make cluster-down
SAY
}
kubectl() { "$TESTBED" kubectl "$@"; }

case ${1:-} in
up) up ;;
down) "$TESTBED" down && echo "· the test bed is down; its programs stay in the cache for the next time" ;;
*) echo "usage: $0 up|down" >&2; exit 2 ;;
esac
