# One image, one command: `external-service hook` and `external-service prober` are the two processes.
# Pin the base by digest with --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
# pip stays in this stage: nothing is installed into a running container, and scanners of images report it.
RUN python3 -m venv tools \
 && tools/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-build.lock \
 && python3 -m venv --without-pip /opt/eso \
 && tools/bin/pip --python /opt/eso/bin/python install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
# The sources that .dockerignore permits: the wheel here has no playground.
COPY . source
RUN tools/bin/pip wheel --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir wheel ./source \
 && tools/bin/pip --python /opt/eso/bin/python install --disable-pip-version-check --no-deps wheel/*.whl

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="external-service-operator" \
      org.opencontainers.image.description="Health-checked Service, Endpoints and Ingress for addresses outside the cluster" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/eso /opt/eso
ENV PATH=/opt/eso/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/eso
USER 65532:65532
EXPOSE 8080 8081 8082
STOPSIGNAL SIGTERM
CMD ["external-service", "hook", "--host", "::", "--port", "8080"]
