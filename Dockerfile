# syntax=docker/dockerfile:1
# The operator's image: what `pip install .[cluster]` gives, and nothing that builds it. Runs as nobody, with a read-only root.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /source
RUN python -m venv /serinus
COPY constraints.txt ./
COPY pyproject.toml README.md LICENSE ./
COPY canary canary
COPY profiles profiles
COPY controlplane controlplane
RUN /serinus/bin/pip install --no-cache-dir --constraint constraints.txt '.[cluster]' \
 && /serinus/bin/python -m compileall -q /serinus/lib

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="serinus" \
      org.opencontainers.image.description="Ships model changes safely: canary, judge, roll back." \
      org.opencontainers.image.licenses="Apache-2.0"
# For repositories that GitSources name; git itself is the only thing that reads or writes them.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git openssh-client \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /serinus /serinus
ENV PATH=/serinus/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080
ENTRYPOINT ["serinus"]
CMD ["controller", "--cluster", "--all-namespaces"]
