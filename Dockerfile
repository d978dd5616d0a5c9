# The tool in a container, for use and for grading strangers' notebooks: no network is needed once it is built.
#
#   docker build --tag hw3lib .
#   hw3 grade submissions            # finds the image, and grades in it
#
# An inspector as a service, for who knows the token; `docker stop` lets it answer what it has taken:
#
#   docker run --rm --init --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --publish 8866:8866 \
#       --env HW3_APP_TOKEN --volume "$PWD/bottle-inspector:/inspector:ro" \
#       hw3lib inspect serve /inspector --host 0.0.0.0 --no-browser
FROM python:3.13-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 1000 hw3

# An exported inspector as a service, without PyTorch:
#
#   docker build --target runtime --tag hw3lib-runtime .
#   docker run --rm --init --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --publish 8866:8866 \
#       --env HW3_APP_TOKEN --volume "$PWD/bottle-exported:/inspector:ro" \
#       hw3lib-runtime inspect serve /inspector --host 0.0.0.0 --no-browser
FROM base AS runtime
COPY hw3lib /source/hw3lib
COPY runtime /source/runtime
RUN pip install /source/runtime \
    && rm -rf /source
ENV HOME=/tmp USER=hw3
USER 1000
EXPOSE 8866
ENTRYPOINT ["hw3"]
CMD ["--help"]

# What .devcontainer develops in; the checkout is mounted, and make sets up its .venv. Debian keeps no old
# versions to pin.
FROM base AS development
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends chromium git make \
    && rm -rf /var/lib/apt/lists/*
USER 1000

FROM base
COPY . /source
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu /source \
    && rm -rf /source
# Grading needs the generated bottle, which no submission can write to. Any --user has a name, and a home to write to.
RUN hw3 data make synthetic/bottle --data /data \
    && chmod -R a+rX /data
ENV HOME=/tmp USER=hw3
USER 1000
WORKDIR /work
EXPOSE 8866
ENTRYPOINT ["hw3"]
CMD ["--help"]
