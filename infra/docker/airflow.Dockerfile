# unchecked: no Docker engine built this here. hadolint and the tests read it; its packages are resolved.
# Airflow's components and what the DAG files import; no TensorFlow: stages run in the training image.
# The uid is the one that Airflow's Helm chart expects. Base images are named by exact tag: their
# digests cannot be looked up where this was written.
FROM python:3.11.14-slim-bookworm AS build
# The laptop stack adds the training packages: its tasks run where the scheduler is.
ARG EXTRAS="--extra airflow-postgresql"
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /build
COPY infra/docker/uv.lock ./
RUN pip install --no-cache-dir --require-hashes --requirement uv.lock
COPY pyproject.toml requirements.lock ./
# The part of the lock that these extras need. As a constraint the lock gives the versions; in the
# second command also the hashes: a file that is not the locked one is refused.
# hadolint ignore=SC2086
RUN uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --generate-hashes \
      --constraint requirements.lock ${EXTRAS} pyproject.toml > image.lock \
 && uv venv --python /usr/local/bin/python3.11 /opt/sortline \
 && uv pip sync --no-cache --require-hashes --constraint requirements.lock \
      --python /opt/sortline/bin/python image.lock

FROM python:3.11.14-slim-bookworm
# git: the DAG resolves revisions. dumb-init: the chart's commands start children.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends dumb-init=1.2.* git=1:2.39.* \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/sortline /opt/sortline
ENV PATH=/opt/sortline/bin:$PATH AIRFLOW_HOME=/opt/airflow HOME=/opt/airflow SCARF_ANALYTICS=false \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN useradd --uid 50000 --gid 0 --home-dir /opt/airflow --create-home airflow \
 && install --directory --owner=50000 --group=0 --mode=0775 /opt/airflow/dags /opt/airflow/logs
WORKDIR /opt/airflow
USER 50000:0
ENTRYPOINT ["/usr/bin/dumb-init", "--"]
CMD ["airflow", "version"]
