# unchecked: no Docker engine built this here. hadolint and the tests read it; its packages are resolved.
# The light image: `sortline predict` without TensorFlow, and the sidecar that brings releases to the
# model servers (sortline.releases.sync). Base images are named by exact tag: their digests
# cannot be looked up where this was written.
FROM python:3.11.14-slim-bookworm AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /build
COPY infra/docker/uv.lock ./
RUN pip install --no-cache-dir --require-hashes --requirement uv.lock
COPY pyproject.toml requirements.lock infra/docker/client.in ./
# The part of the lock that these extras need. As a constraint the lock gives the versions; in the
# second command also the hashes: a file that is not the locked one is refused.
RUN uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --generate-hashes \
      --constraint requirements.lock pyproject.toml client.in > image.lock \
 && uv venv --python /usr/local/bin/python3.11 /opt/sortline \
 && uv pip sync --no-cache --require-hashes --constraint requirements.lock \
      --python /opt/sortline/bin/python image.lock
COPY sortline /opt/sortline/lib/python3.11/site-packages/sortline
COPY --chmod=0755 infra/docker/sortline /opt/sortline/bin/sortline

FROM python:3.11.14-slim-bookworm
COPY --from=build /opt/sortline /opt/sortline
ENV PATH=/opt/sortline/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
VOLUME ["/tmp"]
WORKDIR /tmp
USER 10001:10001
CMD ["sortline", "predict", "--help"]
