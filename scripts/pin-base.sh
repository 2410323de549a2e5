#!/bin/sh
# Pins what the Dockerfile builds on, for a release: the base image by the digest that its tag has at the registry now, and
# Debian's packages by today's day of snapshot.debian.org. Writes the two ARG lines of the Dockerfile (or of the file that
# is named); the change is reviewed and committed like any other. REGISTRY and TOKENS name another registry and who gives
its tokens.
set -eu
DOCKERFILE=${1:-$(dirname "$0")/../Dockerfile}
REGISTRY=${REGISTRY:-https://registry-1.docker.io}
TOKENS=${TOKENS:-https://auth.docker.io/token?service=registry.docker.io}
INDEX="application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
MOST=1000000  # bytes of an index

stop() { echo "pin-base: $*. Nothing was changed." >&2; exit 1; }
base=$(sed -n 's/^ARG BASE=\([^@]*\).*/\1/p' "$DOCKERFILE")
case $base in *:*) ;; *) stop "$DOCKERFILE has no line ARG BASE=NAME:TAG" ;; esac
case ${base%:*} in */*) name=${base%:*} ;; *) name=library/${base%:*} ;; esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
get() { curl --fail --silent --show-error --max-time 60 --max-filesize "$MOST" --output "$work/$1" --config "$work/config" "$2" || stop "$2 did not answer"; }
: > "$work/config"
get token "$TOKENS&scope=repository:$name:pull"
token=$(sed -n 's/.*"token" *: *"\([A-Za-z0-9._=-]*\)".*/\1/p' "$work/token")
[ -n "$token" ] || stop "the registry gave no token to read $name"
# Not as an argument: those are everybody's to read.
printf 'header = "Authorization: Bearer %s"\nheader = "Accept: %s"\ndump-header = "%s"\n' "$token" "$INDEX" "$work/headers" > "$work/config"
get index "$REGISTRY/v2/$name/manifests/${base##*:}"

# The digest is that of the content. What the registry says it is has to be the same.
digest=sha256:$(sha256sum < "$work/index" | cut -d' ' -f1)
said=$(tr -d '\r' < "$work/headers" | sed -n 's/^[Dd]ocker-[Cc]ontent-[Dd]igest: *//p' | tail -1)
[ "$said" = "$digest" ] || stop "the registry says that $base is ${said:-nothing}, and what it sent is $digest"
grep -q '"manifests"' "$work/index" || stop "what the registry has as $base is no list of images, one for each processor"

day=$(date -u +%Y%m%dT000000Z)
sed -e "s,^ARG BASE=.*,ARG BASE=$base@$digest," -e "s,^ARG SNAPSHOT=.*,ARG SNAPSHOT=$day," "$DOCKERFILE" > "$work/Dockerfile"
cat "$work/Dockerfile" > "$DOCKERFILE"
echo "$DOCKERFILE builds on $base@$digest, with Debian's packages of $day"
