# The parts on top of the node, in order: gateway, kserve, prometheus. llm and knative only when asked for: they cost memory,
# llm's CRDs alone half a gigabyte of the API server's. Each may be run again at any time.

namespace() { k create namespace "$1" --dry-run=client -o yaml | ssa -f -; }
# Retried, because kubectl wait errors out while a new CRD has no status.
established() { retry 120 "the CRDs" '' k wait --for=condition=Established crd --all --timeout=20s; }
rollout() { # NAMESPACE DEPLOYMENT
  retry 240 "$1 $2" "k -n $1 describe pod | tail -15; k -n $1 logs $2 --all-containers --tail=20" \
    k -n "$1" rollout status "$2" --timeout=5s
}

up_gateway() {
  local chart=$RUN/chart
  [ -d "$(source_dir envoy-gateway)/charts" ] || die "Envoy Gateway's chart is not there: run \`testbed build gateway\`"
  import_image envoy-gateway envoy
  renew envoy-gateway envoy-gateway-system
  renew envoy envoy-gateway-system
  rm -rf "$chart"
  cp -r "$(source_dir envoy-gateway)/charts/gateway-helm" "$chart"
  # The Go module carries only the template of values.yaml, with two names to fill in.
  sed 's|${GatewayImage}|localhost/envoy-gateway:testbed|; s|${GatewayImagePullPolicy}|Never|' \
    "$chart/values.tmpl.yaml" > "$chart/values.yaml"
  ssa -f "$chart/charts/crds/crds/gatewayapi-crds.yaml" -f "$chart/charts/crds/crds/generated"
  say "gateway: CRDs"
  install_envoy_gateway "$chart"
  say "gateway: Envoy Gateway ready"
  namespace kserve
  ssa -f "$HERE/manifests/gateway.yaml"
  retry 240 "the Gateway to be Programmed" \
    'k -n envoy-gateway-system get pods; k -n kserve get gateway -o yaml | tail -40' \
    k -n kserve wait --for=condition=Programmed gateway/kserve-ingress-gateway --timeout=5s
  say "gateway: Programmed"
}
install_envoy_gateway() { # CHART
  local log=$RUN/log/helm.log
  "$(bin helm)" upgrade --install eg "$1" -n envoy-gateway-system --create-namespace --skip-crds \
    --set crds.enabled=false --set deployment.envoyGateway.resources.requests.cpu=10m \
    --set config.envoyGateway.provider.kubernetes.shutdownManager.image=localhost/envoy-gateway:testbed \
    --wait --timeout 240s >"$log" 2>&1 && return
  tail -20 "$log" >&2
  k -n envoy-gateway-system get pods >&2
  k -n envoy-gateway-system logs deploy/envoy-gateway --tail=20 >&2
  die "Envoy Gateway did not start"
}

kserve_base() { # SOURCES: CRDs, namespace, ConfigMap; without them the manager exits at once
  local file config=$1/config files=()
  namespace kserve
  if ! k get crd httproutes.gateway.networking.k8s.io >/dev/null 2>&1; then
    for file in "$1"/test/crds/gatewayapi_*.yaml; do files+=(-f "$file"); done
  fi
  for file in "$config"/crd/full/serving.kserve.io_*.yaml "$config"/crd/full/clusterstoragecontainer/serving*.yaml; do
    files+=(-f "$file")
  done
  ssa "${files[@]}"
  established
  k create --dry-run=client -o json -f "$config/configmap/inferenceservice.yaml" \
    | python3 "$HERE/lib/kserve.py" config | ssa -f -
  say "kserve: CRDs and ConfigMap"
}
kserve_cert() { # FOLDER SERVICE: one self-signed certificate is CA and server certificate at once
  [ ! -e "$1/tls.crt" ] || return 0
  mkdir -p "$1"
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=kserve-webhook \
    -addext "subjectAltName=DNS:$2.kserve.svc,IP:127.0.0.1" -keyout "$1/tls.key" -out "$1/tls.crt" 2>/dev/null
}
kserve_secret() { # FOLDER SECRET
  k -n kserve create secret tls "$2" --dry-run=client -o yaml --cert="$1/tls.crt" --key="$1/tls.key" | ssa -f -
}
kserve_webhooks() { # MANIFESTS SERVICE CA [URL]
  k create --dry-run=client -o json -f "$1" | python3 "$HERE/lib/kserve.py" webhooks "${@:2}" | ssa -f -
}
kserve_deployment() { # SOURCES KUSTOMIZATION: its own manifests with our changes
  rm -rf "$RUN/kserve"
  mkdir "$RUN/kserve"
  cp -r "$1/config" "$RUN/kserve/config"
  cp "$HERE/manifests/$2" "$RUN/kserve/kustomization.yaml"
  k kustomize "$RUN/kserve" | ssa -f -
}
sample_runtime() { # while KServe's webhook is not reachable yet every write fails: the first one is retried
  retry 120 "a first write through KServe's webhooks" \
    'k apply --server-side -f "$HERE/manifests/sample-runtime.yaml"' ssa -f "$HERE/manifests/sample-runtime.yaml"
}

up_kserve() {
  local sources
  sources=$(source_dir kserve)
  [ -d "$sources" ] || die "KServe's manifests are not there: run \`testbed build kserve\`"
  sample_image
  import_image kserve-manager storage-initializer serinus-sim
  renew kserve-manager kserve
  kserve_base "$sources"
  kserve_cert "$RUN/kserve-cert" kserve-webhook-server-service
  kserve_secret "$RUN/kserve-cert" kserve-webhook-server-cert
  kserve_deployment "$sources" kserve.yaml
  rollout kserve deploy/kserve-controller-manager
  kserve_webhooks "$sources/config/webhook/manifests.yaml" kserve-webhook-server-service "$RUN/kserve-cert/tls.crt"
  say "kserve: manager and webhooks ready"
  sample_runtime
  say "kserve: runtime serinus-sim"
}

up_llm() { # LLMInferenceServices: KServe's second controller, and its presets as they are
  local sources service=llmisvc-webhook-server-service config
  sources=$(source_dir kserve)
  config=$sources/config
  vllm_image
  import_image kserve-llmisvc serinus-vllm
  renew kserve-llmisvc kserve
  ssa -f "$sources/test/crds/gateway-inference-extension.yaml" \
    -f "$sources/test/crds/leaderworkerset.x-k8s.io_leaderworkersets.yaml" \
    -f "$config/crd/full/llmisvc/serving.kserve.io_llminferenceservices.yaml" \
    -f "$config/crd/full/llmisvc/serving.kserve.io_llminferenceserviceconfigs.yaml"
  established
  say "llm: CRDs"
  kserve_cert "$RUN/llm-cert" "$service"
  kserve_secret "$RUN/llm-cert" llmisvc-webhook-server-cert
  kserve_deployment "$sources" llm.yaml
  rollout kserve deploy/llmisvc-controller-manager
  kserve_webhooks "$config/webhook/llmisvc/manifests.yaml" "$service" "$RUN/llm-cert/tls.crt"
  say "llm: controller and webhooks ready"
  k kustomize "$config/llmisvcconfig" > "$RUN/llm-presets.yaml"
  retry 120 "a first write through the webhooks of LLMInferenceServices" \
    'k -n kserve logs deploy/llmisvc-controller-manager --tail=20' ssa -n kserve -f "$RUN/llm-presets.yaml"
  say "llm: presets"
}

up_knative() { # Knative Serving as it is; KServe's controller looks for its resources when it starts, so it is started again
  local sources each
  sources=$(source_dir knative)
  [ -d "$sources" ] || die "Knative's manifests are not there: run \`testbed build knative\`"
  import_image $(printf 'knative-%s ' $KNATIVE ingress)
  for each in $KNATIVE ingress; do renew "knative-$each" knative-serving; done
  rm -rf "$RUN/knative"
  cp -r "$sources" "$RUN/knative"
  # Images by the name that they have here, and requests that fit a small node.
  sed -i 's|ko://knative.dev/serving/cmd/|localhost/knative-|; s|\(image: localhost/knative-[a-z]*\)$|\1:testbed|; s/cpu: [13]00m$/cpu: 10m/' \
    "$RUN"/knative/config/core/deployments/*.yaml
  cd "$RUN/knative/config"
  ssa -f core/300-resources -f certificate.yaml -f domain-claim.yaml -f ingress.yaml \
    -f serverlessservice.yaml -f image.yaml
  established
  say "knative: CRDs"
  ssa -f core/100-namespace.yaml
  ssa -f core/200-roles -f core/200-serviceaccount.yaml -f core/300-knativecertificate.yaml
  k get configmap -n knative-serving config-logging >/dev/null 2>&1 || ssa -f core/configmaps
  ssa -f "$HERE/manifests/knative.yaml"
  rm -f core/deployments/*-hpa.yaml
  ssa -f core/webhooks -f core/deployments
  for each in controller webhook autoscaler activator ingress; do rollout knative-serving "deploy/$each"; done
  cd "$HERE"
  k -n kserve delete pods -l control-plane=kserve-controller-manager --wait=false >/dev/null
  rollout kserve deploy/kserve-controller-manager
  say "knative: ready"
}

up_prometheus() {
  import_image prometheus
  renew prometheus monitoring
  namespace monitoring
  ssa -f "$HERE/manifests/prometheus.yaml"
  rollout monitoring deploy/prometheus
  say "prometheus: ready"
}
