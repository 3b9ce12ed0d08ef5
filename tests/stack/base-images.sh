#!/usr/bin/env bash
# Makes local stand-ins for the base images of docker/*.Dockerfile, on a machine where no image can be pulled.
#
#   tests/stack/base-images.sh
#
# debian:trixie-slim comes from debootstrap (run as root, network to Debian's packages). rust:1.95-slim-trixie is that,
# with this machine's own Rust toolchain and its CA certificates in it. An image that is there already is left alone,
# whether it was pulled or made; `docker image rm` it to have it made again.
#
# Build with them in place of the pinned ones:
#
#   docker build --build-arg DEBIAN_IMAGE=debian:trixie-slim --build-arg RUST_IMAGE=rust:1.95-slim-trixie …
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly DEBIAN=debian:trixie-slim RUST=rust:1.95-slim-trixie
readonly RUST_VERSION=1.95.0
readonly CERTIFICATES=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
# What the minimal profile of rustup installs.
readonly TOOLCHAIN_PARTS=(bin/cargo bin/rustc lib)

main() {
    [[ $# == 0 ]] || fail "it takes no arguments, see the head of $0"
    .ci/needs base-images
    docker version >/dev/null 2>&1 || fail "no Docker engine answers; start one, or set DOCKER_HOST"
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    provide "$DEBIAN" make_debian
    provide "$RUST" make_rust
}

# provide IMAGE COMMAND: runs the command if there is no such image.
provide() {
    if docker image inspect "$1" >/dev/null 2>&1; then
        echo "$1 is there."
        return
    fi
    "$2"
    echo "$1 is now there: a local stand-in, not the published image."
}

make_debian() {
    debootstrap --variant=minbase trixie "$scratch/debian" >"$scratch/log" 2>&1 ||
        fail "debootstrap failed: $(tail -n 1 "$scratch/log")"
    rm -rf "$scratch"/debian/var/cache/apt/* "$scratch"/debian/var/lib/apt/lists/*
    tar --create --directory "$scratch/debian" . |
        docker import --change 'CMD ["bash"]' --change 'LABEL stand-in=true' - "$DEBIAN" >/dev/null
}

make_rust() {
    local toolchain rustup
    toolchain=$(rustup run "$RUST_VERSION" rustc --print sysroot 2>/dev/null) ||
        fail "Rust $RUST_VERSION is missing: rustup toolchain install $RUST_VERSION"
    rustup=$(command -v rustup)
    mkdir "$scratch/rust"
    cp -L "$rustup" "$scratch/rust/rustup"
    cp -L "$CERTIFICATES" "$scratch/rust/ca-certificates.crt"
    rust_dockerfile "$RUST_VERSION-$(uname -m)-unknown-linux-gnu" >"$scratch/rust/Dockerfile"
    tar --create --directory "$scratch/rust" . --directory "$toolchain" "${TOOLCHAIN_PARTS[@]}" |
        docker build --network host --label stand-in=true --tag "$RUST" - >"$scratch/log" 2>&1 ||
        fail "docker build failed: $(tail -n 3 "$scratch/log")"
}

# rust_dockerfile TOOLCHAIN: where rustup, its programs and the toolchain lie in the published image.
rust_dockerfile() {
    cat <<END
FROM $DEBIAN
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev && \
    rm -rf /var/lib/apt/lists/*
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY rustup /usr/local/cargo/bin/rustup
RUN cd /usr/local/cargo/bin && ln rustup cargo && ln rustup rustc
COPY bin /usr/local/rustup/toolchains/$1/bin
COPY lib /usr/local/rustup/toolchains/$1/lib
ENV RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo RUST_VERSION=$RUST_VERSION \
    PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
RUN rustup default $1
END
}

fail() {
    echo "base-images.sh: $1." >&2
    exit 1
}

main "$@"
