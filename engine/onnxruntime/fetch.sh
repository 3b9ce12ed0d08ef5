#!/bin/sh
# Puts ONNX Runtime's shared library into a folder, by default `.onnxruntime/` at the repository's root.
#
#   engine/onnxruntime/fetch.sh [--dir FOLDER] [--optional]
#
# The library comes out of Microsoft's own packages: the Python wheel (any local Python will do, it is only unpacked),
# or, where there is no pip, the npm package, which is one release behind. Both versions and every digest are pinned
# below. The library is renamed into place only after its digest is right, because loading a truncated one kills the
# process; a library that is already there with a pinned digest is left alone. No root is needed.
#
# Ends with status 0 when the library is in place; else one line on stderr, status 1 and nothing installed. With
# `--optional` a library that cannot be had is no error: the line says that the engine goes on with tract.
set -eu

WHEEL_VERSION=1.31.1
NPM_VERSION=1.30.0
NPM_SHA256=6e3390d6b783e7be946fad629292799da28d0b42f84856e50d2c1b0383291e75

# The platform's wheel tag, the library's path inside the wheel and inside the npm package, and their digests.
pin_platform() {
    case "$(uname -s)-$(uname -m)" in
    Linux-x86_64 | Linux-amd64)
        wheel_tag=manylinux_2_28_x86_64
        wheel_sha256=5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f
        wheel_library=onnxruntime/capi/libonnxruntime.so.$WHEEL_VERSION
        wheel_library_sha256=fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3
        npm_library=package/bin/napi-v6/linux/x64/libonnxruntime.so.1
        npm_library_sha256=ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23
        ;;
    Linux-aarch64 | Linux-arm64)
        wheel_tag=manylinux_2_28_aarch64
        wheel_sha256=da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3
        wheel_library=onnxruntime/capi/libonnxruntime.so.$WHEEL_VERSION
        wheel_library_sha256=8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467
        npm_library=package/bin/napi-v6/linux/arm64/libonnxruntime.so.1
        npm_library_sha256=1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76
        ;;
    Darwin-arm64)
        wheel_tag=macosx_14_0_arm64
        wheel_sha256=60b6b69bfe580eab576cacc5d132a0e9cf2a37fcfd18d46dd191042b1d1ed0d7
        wheel_library=onnxruntime/capi/libonnxruntime.$WHEEL_VERSION.dylib
        wheel_library_sha256=f8b06155feece624e55e49124340eea279da812529ae6fbc46a9f2be9c9cad2e
        npm_library=package/bin/napi-v6/darwin/arm64/libonnxruntime.1.dylib
        npm_library_sha256=685d2be5dba1309c89d3a5324b7fd06a5c42f1a61bfea32d14c4cc28d072121d
        ;;
    *)
        fail "Microsoft publishes no library for $(uname -s) on $(uname -m), only for Linux on x86_64 and arm64 and macOS on arm64"
        ;;
    esac
}

main() {
    folder=$(dirname "$0")/../../.onnxruntime
    optional=
    while [ $# -gt 0 ]; do
        case $1 in
        --dir) [ $# -ge 2 ] && [ -n "$2" ] || fail "--dir needs a folder"; folder=$2; shift 2 ;;
        --optional) optional=1; shift ;;
        *) fail "unknown argument '$1'; usage: fetch.sh [--dir FOLDER] [--optional]" ;;
        esac
    done
    pin_platform
    require_glibc
    case $wheel_library in *.dylib) name=libonnxruntime.dylib ;; *) name=libonnxruntime.so ;; esac

    mkdir -p "$folder" 2>/dev/null || fail "cannot create the folder $folder"
    folder=$(cd "$folder" && pwd)
    if version=$(installed_version); then
        echo "ONNX Runtime $version is in $folder/$name"
        return
    fi

    scratch=$folder/.fetch.$$
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 1' HUP INT TERM
    mkdir "$scratch" 2>/dev/null || fail "cannot write into the folder $folder"
    if from_wheel; then
        version=$WHEEL_VERSION
    elif from_npm; then
        version=$NPM_VERSION
    else
        fail "${reason:-neither pip nor npm is installed; install Python with pip and run this again}"
    fi
    chmod 755 "$scratch/$name"
    mv -f "$scratch/$name" "$folder/$name"
    echo "ONNX Runtime $version is now in $folder/$name"
}

# Each way leaves the checked library in the scratch folder, or says in `reason` why it could not.
from_wheel() {
    for python in python3 python; do
        "$python" -m pip --version >/dev/null 2>&1 || continue
        if ! "$python" -m pip download --quiet --disable-pip-version-check --retries 2 --timeout 60 --no-deps \
            --only-binary=:all: --platform "$wheel_tag" --python-version 311 --implementation cp --abi cp311 \
            --dest "$scratch" "onnxruntime==$WHEEL_VERSION" >"$scratch/log" 2>&1; then
            reason="pip could not download onnxruntime $WHEEL_VERSION, is there a network? ($(last_error))"
            return 1
        fi
        wheel=$(echo "$scratch"/*.whl)
        require_digest "the wheel of onnxruntime $WHEEL_VERSION" "$wheel" "$wheel_sha256"
        "$python" -m zipfile -e "$wheel" "$scratch/wheel" >"$scratch/log" 2>&1 ||
            fail "cannot unpack the wheel ($(last_error))"
        take "$scratch/wheel/$wheel_library" "$wheel_library_sha256"
        return
    done
    return 1
}

from_npm() {
    command -v npm >/dev/null 2>&1 || return 1
    if ! (cd "$scratch" && npm pack --loglevel=error --fetch-retries=1 --fetch-retry-mintimeout=2000 \
        --fetch-timeout=60000 "onnxruntime-node@$NPM_VERSION") >"$scratch/log" 2>&1; then
        reason="${reason:+$reason; }npm could not download onnxruntime-node $NPM_VERSION, is there a network? ($(last_error))"
        return 1
    fi
    tarball=$scratch/onnxruntime-node-$NPM_VERSION.tgz
    require_digest "the npm package of onnxruntime-node $NPM_VERSION" "$tarball" "$NPM_SHA256"
    tar -xzf "$tarball" -C "$scratch" "$npm_library" 2>"$scratch/log" || fail "cannot unpack the npm package ($(last_error))"
    take "$scratch/$npm_library" "$npm_library_sha256"
}

# take FILE SHA256: moves the unpacked library to the top of the scratch folder once its digest is right.
take() {
    require_digest "ONNX Runtime's library" "$1" "$2"
    mv "$1" "$scratch/$name"
}

# Prints the version of the library in the folder; fails when there is none or it is not one of ours.
installed_version() {
    [ -f "$folder/$name" ] || return 1
    case $(sha256 "$folder/$name") in
    "$wheel_library_sha256") echo "$WHEEL_VERSION" ;;
    "$npm_library_sha256") echo "$NPM_VERSION" ;;
    *) return 1 ;;
    esac
}

# The official Linux libraries are linked against glibc 2.28 or newer; musl (Alpine) cannot load them.
require_glibc() {
    [ "$(uname -s)" = Linux ] || return 0
    libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || libc=
    case $libc in
    "glibc "*)
        minor=${libc#glibc 2.}
        case $minor in *[!0-9]* | '') return 0 ;; esac
        [ "$minor" -ge 28 ] || fail "it needs glibc 2.28 or newer and this system has ${libc#glibc }"
        ;;
    *) fail "it needs glibc 2.28 or newer and this system's C library is another one (musl?)" ;;
    esac
}

# require_digest WHAT FILE SHA256
require_digest() {
    digest=$(sha256 "$2")
    [ "$digest" = "$3" ] || fail "$1 has the digest ${digest:-(none)} where $3 is pinned; nothing was installed"
}

sha256() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum "$1" 2>/dev/null
    else
        shasum -a 256 "$1" 2>/dev/null
    fi | cut -d ' ' -f 1
}

# What a failed command said last that matters.
last_error() {
    grep -v -e '^ *$' -e 'complete log' "$scratch/log" | tail -n 1 | cut -c 1-200
}

fail() {
    if [ -n "$optional" ]; then
        echo "ONNX Runtime was not fetched ($1): the engine goes on with tract, which is built in." >&2
        exit 0
    fi
    echo "ONNX Runtime was not fetched: $1." >&2
    exit 1
}

main "$@"
