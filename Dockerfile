# The program in a container: it needs no shell, does not run as root, and writes only to /data.
# See docs/deploy/container.md; `make image` builds it.
# BASE needs Python 3.11 or newer as python3. For a reproducible build, name it by digest.
ARG BASE=docker.io/library/python:3.13-slim-bookworm

# hadolint ignore=DL3006
FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 UV_LINK_MODE=copy UV_SYSTEM_CERTS=1
WORKDIR /build
COPY requirements-image.txt requirements-extras.txt ./
RUN python3 -m venv tools \
    && tools/bin/pip install --require-hashes -r requirements-image.txt \
    && tools/bin/uv venv --python "$(command -v python3)" /opt/dashboard-scraper \
    && tools/bin/uv pip install --python /opt/dashboard-scraper/bin/python \
        --require-hashes --compile-bytecode -r requirements-extras.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN tools/bin/python -m hatchling build --target wheel \
    && tools/bin/uv pip install --python /opt/dashboard-scraper/bin/python \
        --no-deps --compile-bytecode dist/*.whl \
    && install -d -m 0700 -o 10001 -g 10001 /empty

# hadolint ignore=DL3006
FROM ${BASE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="dashboard-scraper" \
    org.opencontainers.image.description="Usage figures of AI coding assistants, per user and day" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/dashboard-scraper /opt/dashboard-scraper
COPY --from=build --chown=10001:10001 /empty /data
ENV PATH=/opt/dashboard-scraper/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/data \
    EXPORT_DIR=/data \
    STORE_URL=sqlite:////data/usage.db \
    HEARTBEAT_FILE=/data/watch.json \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
# Unhealthy if the newest complete day is too old, or if nothing is stored yet.
HEALTHCHECK --interval=10m --timeout=1m --start-period=30m --retries=2 \
    CMD ["dashboard-scraper", "status", "--max-age", "48h"]
ENTRYPOINT ["dashboard-scraper"]
CMD ["--help"]
