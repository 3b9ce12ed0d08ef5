# MLflow's tracking server, for the profile `mlflow` of compose.yaml.
ARG PYTHON_IMAGE=python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${PYTHON_IMAGE} AS build
COPY docker/mlflow/requirements.txt /tmp/
RUN python -m venv /opt/mlflow \
    && /opt/mlflow/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary=:all: --require-hashes \
        --requirement /tmp/requirements.txt

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="MLflow for Onnward's stack" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/mlflow /opt/mlflow
RUN install -d -o 65532 -g 65532 /var/lib/mlflow
ENV PATH=/opt/mlflow/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
USER 65532:65532
EXPOSE 5000
ENTRYPOINT ["mlflow"]
CMD ["server", "--host=0.0.0.0", "--port=5000"]
