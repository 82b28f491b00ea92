# unchecked: no Docker engine built this here. hadolint and the tests read it; its packages are resolved.
# Every stage of the graph, infra_validate, publish and promote. VARIANT=cpu or cuda; the second has
# NVIDIA's libraries beside the same TensorFlow, as wheels, so both stand on one base.
# Base images are named by exact tag: their digests cannot be looked up where this was written.
FROM python:3.11.14-slim-bookworm AS build
ARG VARIANT=cpu
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /build
COPY infra/docker/uv.lock ./
RUN pip install --no-cache-dir --require-hashes --requirement uv.lock
COPY pyproject.toml requirements.lock infra/docker/cuda.lock ./
# No compiler is here either: a locked package without a wheel that needs one fails the build.
# The part of the lock that these extras need. As a constraint the lock gives the versions; in the
# second command also the hashes: a file that is not the locked one is refused.
RUN uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --generate-hashes \
      --constraint requirements.lock --extra pipeline --extra serving pyproject.toml > image.lock \
 && case "${VARIANT}" in cpu) ;; cuda) cat cuda.lock >> image.lock ;; \
    *) echo "VARIANT is cpu or cuda, not ${VARIANT}" >&2; exit 2 ;; esac \
 && uv venv --python /usr/local/bin/python3.11 /opt/sortline \
 && uv pip sync --no-cache --require-hashes --constraint requirements.lock \
      --python /opt/sortline/bin/python image.lock
COPY sortline /opt/sortline/lib/python3.11/site-packages/sortline
COPY pipeline_steps /opt/sortline/lib/python3.11/site-packages/pipeline_steps
COPY --chmod=0755 infra/docker/sortline /opt/sortline/bin/sortline

FROM python:3.11.14-slim-bookworm
# A stage clones the repository at its revision before it runs.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git=1:2.39.* \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/sortline /opt/sortline
# The root is read-only in the cluster: what a stage or a library writes goes to these two volumes.
ENV PATH=/opt/sortline/bin:$PATH HOME=/scratch TMPDIR=/tmp \
    DVC_NO_ANALYTICS=true DVC_SITE_CACHE_DIR=/scratch/.dvc-site GX_ANALYTICS_ENABLED=false \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=3
VOLUME ["/scratch", "/tmp"]
WORKDIR /scratch
USER 10001:10001
CMD ["sortline", "--help"]
