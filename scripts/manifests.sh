#!/bin/sh
# Renders the chart into manifests/base and manifests/overlays/namespaced, for those who install with kustomize.
# To be run after each change of the chart; a test of tests/cluster fails where it was forgotten. HELM names another helm.
set -eu
cd "$(dirname "$0")/.."
HELM=${HELM:-helm}
OLDEST=1.30.0  # what Chart.yaml asks for; a helm that was built without a version takes itself for an older Kubernetes

# The CRD stands beside (manifests/crd), and what says that Helm manages an object would not be true here.
render() {
  file=$1 namespace=$2
  shift 2
  {
    echo "# Rendered from charts/serinus by scripts/manifests.sh: change the chart, and run that."
    "$HELM" template serinus charts/serinus --namespace "$namespace" --kube-version "$OLDEST" \
      --set crds.install=false "$@" | sed -e '/^# Source: /d' -e '/helm\.sh\/chart: /d' -e '/app\.kubernetes\.io\/managed-by: Helm/d'
  } > "$file.new"
  mv "$file.new" "$file"
}

render manifests/base/serinus.yaml serinus-system
render manifests/overlays/namespaced/serinus.yaml models --set watch.allNamespaces=false --set userRoles=false
render manifests/dashboard/serinus-dashboard.yaml serinus-system --set dashboard.enabled=true --show-only templates/dashboard.yaml
