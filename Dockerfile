# syntax=docker/dockerfile:1
# The operator's image: what `pip install .[cluster]` gives, and nothing that builds it. Runs as nobody, with a read-only root.
# Every Python package is one of requirements/, by its hash. scripts/pin-base.sh renews the two lines below: the base with its
# digest (now 3.13.15 on Debian 13), Debian's packages by a day of snapshot.debian.org. An empty SNAPSHOT takes what Debian has today.
ARG BASE=python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b
ARG SNAPSHOT=

FROM ${BASE} AS build
WORKDIR /source
COPY requirements/build.txt requirements/image.txt requirements/
RUN python -m venv /build && python -m venv --without-pip /serinus \
 && /build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement requirements/build.txt \
 && /build/bin/pip --python /serinus/bin/python install --no-cache-dir --require-hashes --only-binary :all: \
      --requirement requirements/image.txt
COPY pyproject.toml README.md LICENSE ./
COPY canary canary
COPY profiles profiles
COPY controlplane controlplane
RUN /build/bin/pip --python /build/bin/python wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
 && /build/bin/pip --python /serinus/bin/python install --no-deps --no-index /wheel/*.whl \
 && /build/bin/pip --python /serinus/bin/python check \
 && /serinus/bin/python -m compileall -q /serinus/lib

FROM ${BASE}
ARG SNAPSHOT
LABEL org.opencontainers.image.title="serinus" \
      org.opencontainers.image.description="Ships model changes safely: canary, judge, roll back." \
      org.opencontainers.image.licenses="Apache-2.0"
# For repositories that GitSources name; git itself is the only thing that reads or writes them.
RUN if [ -n "$SNAPSHOT" ]; then \
      sed -i "s,http://deb.debian.org/,http://snapshot.debian.org/archive/,; /^URIs:/s,\$,/$SNAPSHOT," /etc/apt/sources.list.d/debian.sources; \
      echo 'Acquire::Check-Valid-Until "false";' > /etc/apt/apt.conf.d/snapshot; \
    fi \
 && apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git openssh-client \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /serinus /serinus
ENV PATH=/serinus/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080
ENTRYPOINT ["serinus"]
CMD ["controller", "--cluster", "--all-namespaces"]
