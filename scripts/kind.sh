#!/bin/sh
# Makes a kind cluster on a machine with Docker and installs Gateway API, Envoy Gateway, KServe (Standard mode),
# Prometheus, four pretended GPUs and Serinus in it. May be repeated; `sh scripts/kind.sh down` deletes the cluster.
set -eu
cd "$(dirname "$0")/.."

KIND_TESTED=v0.30.0   # kind-config.yaml names the node image that belongs to it
ENVOY_GATEWAY=v1.9.1
CERT_MANAGER=v1.17.0
KSERVE=v0.20.0
PROMETHEUS=v3.5.0
IMAGE=serinus:kind
BED=tests/cluster/testbed

say() { echo "· $*"; }
stop() { echo "kind.sh: $*" >&2; exit 1; }
apply() { kubectl apply --server-side --force-conflicts "$@" >/dev/null; }
chart() { helm upgrade --install "$@" --wait --timeout 10m >/dev/null; }

check() {
  for program in docker kind kubectl helm; do
    command -v "$program" >/dev/null || stop "$program is missing (kind: $KIND_TESTED was the one in mind)"
  done
  docker info >/dev/null 2>&1 || stop "Docker does not answer"
}

cluster() {
  kind get clusters 2>/dev/null | grep -qx serinus || kind create cluster --config kind-config.yaml
  kubectl config use-context kind-serinus >/dev/null
  say "pretending four GPUs"
  node=$(kubectl get nodes -l serinus.dev/gpu=pretended -o name | head -1)
  for where in capacity allocatable; do
    kubectl patch "$node" --subresource=status --type=json >/dev/null \
      -p "[{\"op\": \"add\", \"path\": \"/status/$where/nvidia.com~1gpu\", \"value\": \"4\"}]"
  done
}

gateway() {
  say "Envoy Gateway $ENVOY_GATEWAY, whose chart brings the Gateway API's CRDs"
  chart eg oci://docker.io/envoyproxy/gateway-helm --version "$ENVOY_GATEWAY" --namespace envoy-gateway-system \
    --create-namespace
  kubectl create namespace kserve --dry-run=client -o yaml | apply -f -
  apply -f - <<'YAML'
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyProxy
metadata: {name: proxy, namespace: envoy-gateway-system}
spec:
  provider:
    type: Kubernetes
    kubernetes:
      envoyService:
        type: NodePort
        name: gateway
        # kind-config.yaml maps this node port to port 8080 of this machine; the worker is the node that has it.
        externalTrafficPolicy: Cluster
        patch: {type: StrategicMerge, value: {spec: {ports: [{name: http-80, port: 80, protocol: TCP, nodePort: 30080}]}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: eg}
spec:
  controllerName: gateway.envoyproxy.io/gatewayclass-controller
  parametersRef: {group: gateway.envoyproxy.io, kind: EnvoyProxy, name: proxy, namespace: envoy-gateway-system}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: kserve-ingress-gateway, namespace: kserve}
spec:
  gatewayClassName: eg
  listeners: [{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]
YAML
  kubectl -n kserve wait --for=condition=Programmed gateway/kserve-ingress-gateway --timeout=300s >/dev/null
}

kserve() {
  say "cert-manager $CERT_MANAGER and KServe $KSERVE in Standard mode"
  apply -f "https://github.com/cert-manager/cert-manager/releases/download/$CERT_MANAGER/cert-manager.yaml"
  kubectl -n cert-manager wait --for=condition=Available deployment --all --timeout=300s >/dev/null
  chart kserve-crd oci://ghcr.io/kserve/charts/kserve-crd --version "$KSERVE" --namespace kserve
  chart kserve oci://ghcr.io/kserve/charts/kserve-resources --version "$KSERVE" --namespace kserve \
    --set kserve.controller.deploymentMode=Standard \
    --set kserve.controller.gateway.disableIstioVirtualHost=true \
    --set kserve.controller.gateway.ingressGateway.enableGatewayApi=true \
    --set kserve.controller.gateway.ingressGateway.kserveGateway=kserve/kserve-ingress-gateway
}

prometheus() {
  say "Prometheus $PROMETHEUS, with a scrape every second"
  kubectl create namespace monitoring --dry-run=client -o yaml | apply -f -
  sed -e "s|localhost/prometheus:testbed|quay.io/prometheus/prometheus:$PROMETHEUS|" \
    -e 's/imagePullPolicy: Never/imagePullPolicy: IfNotPresent/' "$BED/manifests/prometheus.yaml" | apply -f -
  kubectl -n monitoring patch service prometheus >/dev/null \
    -p '{"spec": {"type": "NodePort", "ports": [{"port": 9090, "nodePort": 30090}]}}'
  kubectl -n monitoring rollout status deployment/prometheus --timeout=300s >/dev/null
}

serinus() {
  say "Serinus, from this working tree"
  docker build --quiet --tag "$IMAGE" . >/dev/null
  kind load docker-image "$IMAGE" --name serinus >/dev/null 2>&1
  apply -k manifests/crd
  chart serinus charts/serinus --namespace serinus-system --create-namespace --set crds.install=false \
    --set image.repository="${IMAGE%:*}" --set image.tag="${IMAGE#*:}" --set image.pullPolicy=Never \
    --set prometheus.url=http://prometheus.monitoring.svc:9090
}

samples() { # our sample model server as a runtime; its pretended weights lie on an empty volume, so nothing is downloaded
  sed "s|localhost/serinus-sim:testbed|$IMAGE|" "$BED/manifests/sample-runtime.yaml" | apply -f -
  kubectl create namespace models --dry-run=client -o yaml | apply -f -
  apply -f - <<'YAML'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: weights, namespace: models}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
YAML
  sed 's|hf://example/|pvc://weights/|' "$BED/samples/good.canary.yml" | kubectl apply -f -
  cat <<'SAY'

A rollout runs: chat, in the namespace models. It waits for requests before it judges:

  kubectl get mcan -n models -w
  while sleep 0.02; do curl -s -o /dev/null -H 'Host: chat.example.com' -H 'Content-Type: application/json' \
    -d '{"model": "chat", "messages": [{"role": "user", "content": "hello"}]}' http://127.0.0.1:8080/v1/chat/completions; done

Prometheus is at http://127.0.0.1:9090. Afterwards: sh scripts/kind.sh down
SAY
}

case ${1:-up} in
up)
  check
  cluster
  gateway
  kserve
  prometheus
  serinus
  samples
  ;;
down) kind delete cluster --name serinus ;;
*) stop "usage: $0 [up|down]" ;;
esac
