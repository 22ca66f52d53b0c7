# The agent's and the operator's images: docker build --target agent . (or podman, or buildah)
ARG BASE=docker.io/library/python:3.13-slim-trixie
ARG VERSION=0.1.0

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY=:all: PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY images images
# The build tool is installed first and isolation left out: pip would take any version of it otherwise.
RUN python3 -m venv /opt/build \
    && /opt/build/bin/python -m pip install --quiet --no-deps --require-hashes --requirement images/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY crds crds
COPY kernel/thermocline_kernel kernel/thermocline_kernel
COPY agent agent
COPY operator operator
# The environment that goes into the images has no pip: the one of /opt/build fills it.
RUN /opt/build/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /dist . \
    && python3 -m venv --without-pip /opt/thermocline

# What an image has stands in its list, by version and hash; pip check finds what the list forgot.
# Compiled by the sources' hash: a layer rounds the times of files to seconds, and what was compiled for another time is
# compiled anew by every container that starts. All of it (-f): pip has compiled what it imported from there itself.
FROM build AS build-agent
RUN set -- /opt/build/bin/python -m pip --python /opt/thermocline/bin/python \
    && "$@" install --quiet --no-compile --no-deps --require-hashes --requirement images/agent.txt \
    && "$@" install --quiet --no-compile --no-deps /dist/thermocline-*.whl \
    && "$@" check \
    && python3 -m compileall -q -f --invalidation-mode unchecked-hash /opt/thermocline/lib

FROM build AS build-operator
RUN set -- /opt/build/bin/python -m pip --python /opt/thermocline/bin/python \
    && "$@" install --quiet --no-compile --no-deps --require-hashes --requirement images/operator.txt \
    && "$@" install --quiet --no-compile --no-deps /dist/thermocline-*.whl \
    && "$@" check \
    && python3 -m compileall -q -f --invalidation-mode unchecked-hash /opt/thermocline/lib

# Root, for what it reads in /proc and /sys wants capabilities that only root's processes are given.
FROM ${BASE} AS agent
ARG BASE
ARG VERSION
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Thermocline agent" \
      org.opencontainers.image.description="Moves hot pages to fast memory and cold pages to slow memory on one node" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=build-agent /opt/thermocline /opt/thermocline
ENV PATH=/opt/thermocline/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 0:0
ENTRYPOINT ["thermocline-agent"]

FROM ${BASE} AS operator
ARG BASE
ARG VERSION
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Thermocline operator" \
      org.opencontainers.image.description="Turns MemoryTierPolicy objects into settings for every node" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=build-operator /opt/thermocline /opt/thermocline
ENV PATH=/opt/thermocline/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["thermocline-operator"]
