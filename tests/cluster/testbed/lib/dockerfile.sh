# The image that people install, from the project's own Dockerfile: a real build, without Docker's daemon or a registry.
# buildah carries the steps out in a chroot. The Dockerfile's base image cannot be pulled here, so Debian's Python stands
# in for it under the same name; everything after FROM is what a build elsewhere does.

BASE_SUITE=trixie   # Debian 13, whose Python is the one that the Dockerfile names
BASE=docker.io/library/$(sed -n 's/^ARG BASE=\([^@]*\).*/\1/p' "$ROOT/Dockerfile")   # without a digest, which a stand-in cannot have
BUILD_PACKAGES="buildah debootstrap"

buildah() { command buildah --root "$CACHE/buildah" --runroot "$CACHE/buildah-run" "$@"; }

base_image() { # NAME: Debian and its Python where python:slim has them
  local name=$1 root=$CACHE/tmp.base container
  buildah inspect --type image "$name" >/dev/null 2>&1 && return
  say "Debian $BASE_SUITE as $name"
  rm -rf "$root"
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$BASE_SUITE" "$root" >"$CACHE/debootstrap.log" 2>&1 \
    || { tail -5 "$CACHE/debootstrap.log" >&2; die "debootstrap $BASE_SUITE failed"; }
  ln -s /usr/bin/python3 "$root/usr/local/bin/python"
  container=$(buildah from scratch)
  buildah add -q "$container" "$root" >/dev/null
  buildah commit -q --rm "$container" "$name" >/dev/null
  rm -rf "$root"
}

# dockerfile NAME: the project's image, given to the node if one is up.
cmd_dockerfile() {
  local name=localhost/${1:?NAME}:testbed path=$(image_file dockerfile)
  # What the build reads: .dockerignore lets in no more.
  same_image dockerfile "$name" "$HERE/lib/dockerfile.sh" \
    "$ROOT"/{Dockerfile,canary,profiles,controlplane,pyproject.toml,requirements/build.txt,requirements/image.txt,README.md,LICENSE} \
    || build_dockerfile "$name" "$path"
  if [ -e "$RUN/containerd.sock" ]; then ctr images import "$path" >/dev/null; say "imported $name"; fi
}
build_dockerfile() { # NAME ARCHIVE
  local name=$1 path=$2 log=$CACHE/dockerfile.log
  check_node
  debian_packages "$BUILD_PACKAGES" "$BUILD_PACKAGES"
  base_image "$BASE"
  say "building $name (log: $log)"
  # This machine's certificates: a proxy on the way to PyPI may sign with its own.
  command nice "$(command -v buildah)" --root "$CACHE/buildah" --runroot "$CACHE/buildah-run" bud --isolation chroot \
    --pull-never --build-arg "BASE=$BASE" --build-arg SNAPSHOT= --volume /etc/ssl/certs:/etc/ssl/certs:ro --tag "$name" --file "$ROOT/Dockerfile" "$ROOT" >"$log" 2>&1 \
    || { tail -15 "$log" >&2; die "the Dockerfile's build failed"; }
  rm -f "$path"
  buildah push -q "$name" "docker-archive:$path:$name"
  buildah rmi --prune >/dev/null
  echo "$KEY" >"$CACHE/images/dockerfile.key"
}
