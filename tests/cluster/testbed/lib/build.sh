# build [PART...]: programs from go/*, then images, into $CACHE; what is there under the same pins is left alone.

declare -A PART_PROGRAMS=(
  [node]="etcd kube-apiserver kube-controller-manager kubelet kube-scheduler kube-proxy kubectl coredns pause load"
  [gateway]="helm envoy-gateway"
  [kserve]="kserve-manager kubectl pause"
  [prometheus]="prometheus"
  [llm]="kserve-llmisvc"
  [knative]="$(printf 'knative-%s ' $KNATIVE)"
  [light]="etcd kube-apiserver kube-controller-manager kube-scheduler kubectl kwok kserve-manager load"
)
ALL_PARTS="node gateway kserve prometheus llm knative light"

cmd_build() {
  local part programs=()
  [ $# -gt 0 ] || set -- $ALL_PARTS
  for part in "$@"; do
    [ -n "${PART_PROGRAMS[$part]:-}" ] || die "no such part: $part; there are $ALL_PARTS"
    programs+=(${PART_PROGRAMS[$part]})
  done
  build_programs "${programs[@]}"
  for part in "$@"; do "images_$part"; done
  say "everything is built"
}

build_programs() { # PROGRAM...: those that are missing, each with its place in the row
  local p missing=() n=0
  for p in $(printf '%s\n' "$@" | awk '!seen[$0]++'); do [ -x "$(find_bin "$p")" ] || missing+=("$p"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  local why; why=$(why_no_go)
  [ -z "$why" ] || cannot "$why It is needed to build ${missing[*]}." \
    "Install Go $(sed -n 's/^go //p' "$HERE/go/$NEWEST_MODULE/go.mod") or newer, or name a folder with the programs: SERINUS_TESTBED_BIN."
  for p in "${missing[@]}"; do
    n=$((n + 1))
    say "program $n of ${#missing[@]}: $p"
    build_program "$p" &
    while_working $! "still $p ($n of ${#missing[@]})" || die "the build of $p failed"
  done
}

while_working() { # PID WORDS: wait for it, with a sign of life every 30 s
  local next=$((SECONDS + 30))
  while kill -0 "$1" 2>/dev/null; do
    if [ $SECONDS -ge $next ]; then say "... $2"; next=$((SECONDS + 30)); fi
    sleep 0.2
  done
  wait "$1"
}

build_program() { # PROGRAM
  local module dir version flags="-s -w" tags=
  module=$(module_of "$1")
  dir=$(module_dir "$module")
  mkdir -p "$dir"
  cd "$HERE/go/$module"
  if [ "$module" = k8s ]; then
    # Else the API server says v0.0.0-master+$Format:%H$, and a Helm chart with a kubeVersion constraint refuses.
    version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
    flags+=" -X k8s.io/component-base/version.gitVersion=$version"
    flags+=" -X k8s.io/component-base/version.gitMajor=1"
    flags+=" -X k8s.io/component-base/version.gitMinor=$(echo "$version" | cut -d. -f2)"
  fi
  # Prometheus with Kubernetes discovery alone: a fraction of the build.
  [ "$module" != prometheus ] || tags=remove_all_sd,enable_kubernetes_sd
  CGO_ENABLED=0 go build -trimpath -tags "$tags" -ldflags="$flags" -o "$dir/.$1.new" "$(package_of "$1")" \
    2>"$CACHE/go-build.log" || { tail -20 "$CACHE/go-build.log" >&2; return 1; }
  mv "$dir/.$1.new" "$dir/$1"
}

keep_sources() { # MODULE GO-MODULE//PATH...: copies of what Go modules carry, so that `up` needs no module cache
  local module=$1 each from to
  shift
  [ ! -d "$(source_dir "$module")" ] || return 0
  to=$(module_dir "$module")/src
  mkdir -p "$to.new"
  for each in "$@"; do
    from=$(cd "$HERE/go/$module" && go mod download "${each%%//*}" && go list -m -f '{{.Dir}}' "${each%%//*}")
    (cd "$from" && cp -r --parents "${each#*//}" "$to.new")
    chmod -R u+w "$to.new"
  done
  mv "$to.new" "$to"
}
