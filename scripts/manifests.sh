#!/bin/sh
# Renders the chart into manifests/base and manifests/overlays/namespaced, for those who install with kustomize, and with
# every feature on for the tests. To be run after each change of the chart; each file says which chart it came from, and
# a test fails where this was forgotten. HELM names another helm.
set -eu
cd "$(dirname "$0")/.."
HELM=${HELM:-helm}
OLDEST=1.30.0  # what Chart.yaml asks for; a helm that was built without a version takes itself for an older Kubernetes

# tests/test_chart.py computes the same.
CHART=$(cd charts/serinus && find Chart.yaml values.yaml templates ci -type f | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-16)

# The CRD stands beside (manifests/crd), and what says that Helm manages an object would not be true here.
render() {
  file=$1 namespace=$2
  shift 2
  {
    echo "# Rendered from charts/serinus ($CHART) by scripts/manifests.sh: change the chart, and run that."
    "$HELM" template serinus charts/serinus --namespace "$namespace" --kube-version "$OLDEST" \
      --set crds.install=false "$@" | sed -e '/^# Source: /d' -e '/helm\.sh\/chart: /d' -e '/app\.kubernetes\.io\/managed-by: Helm/d'
  } > "$file.new"
  mv "$file.new" "$file"
}

render manifests/base/serinus.yaml serinus-system
render manifests/overlays/namespaced/serinus.yaml models --set watch.allNamespaces=false --set userRoles=false --set requestPolicy=false
render manifests/dashboard/serinus-dashboard.yaml serinus-system --set dashboard.enabled=true --show-only templates/dashboard.yaml
render tests/golden/chart_everything.yaml serinus-system --values charts/serinus/ci/everything-values.yaml
