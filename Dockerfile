# One image, two commands: the hook (`python -m app`) and the sidecar (`python -m probe_sidecar`).
# Pin the base by digest with --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
COPY requirements.lock ./
# pip goes again: nothing is installed into a running container, and it is what scanners of images find fault with.
RUN python3 -m venv /opt/eso \
 && /opt/eso/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock \
 && /opt/eso/bin/python -m pip uninstall --yes --quiet --disable-pip-version-check setuptools pip
COPY app /opt/eso/src/app
COPY external_service /opt/eso/src/external_service
COPY probe_sidecar /opt/eso/src/probe_sidecar
COPY runtime /opt/eso/src/runtime
RUN /opt/eso/bin/python -m compileall -q /opt/eso

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="external-service-operator" \
      org.opencontainers.image.description="Health-checked Service, Endpoints and Ingress for addresses outside the cluster" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/eso /opt/eso
ENV PATH=/opt/eso/bin:$PATH PYTHONPATH=/opt/eso/src PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/eso/src
USER 65532:65532
EXPOSE 8080 8081 8082
STOPSIGNAL SIGTERM
CMD ["python", "-m", "app", "--host", "::", "--port", "8080"]
