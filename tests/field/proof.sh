#!/usr/bin/env bash
# Has client libraries mix refused and good requests over their usual pools of connections, against a real engine: directly, and
# behind an HAProxy that reuses connections. Fails if a good request or a refusal is lost.
#
#   tests/field/proof.sh [OPTION…]    such as --refused 1000 --client Go; field.py --help lists them
#
# BIN is the folder of the programs, target/release by default. The libraries for Python and Node.js, libcurl and Go are pinned. Python,
# Java, Node.js and HAProxy are the machine's own. A client whose language is absent is left out and named. What was sent and seen
# stays in target/field/work.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=.ci/tools.sh
. .ci/tools.sh

BIN=$(realpath "${BIN:-target/release}")
here=tests/field
folder=$PWD/target/field

main() {
    .ci/needs field
    [[ -x $BIN/onnward-engine && -x $BIN/onnward-exporter ]] || fail "the programs are not in $BIN: run 'make build' first"
    provide_python_tools target/field-tools "$here/requirements.txt" || fail "the clients for Python cannot be had"
    rm -rf "$folder/work" "$folder/clients"
    mkdir -p "$folder"
    # Node.js looks for libraries beside its programs.
    cp -R "$here/clients" "$folder/clients"
    local compiled=()
    provide_libraries_for_node
    if compile_go; then
        compiled+=(--go "$folder/go-client")
    fi
    if compile_java; then
        compiled+=(--classes "$folder/classes")
    fi
    if ! command -v haproxy >/dev/null; then
        install_debian haproxy || left_out "HAProxy" "it cannot be installed"
    fi
    exec python3 -B "$here/field.py" --programs "$BIN" --work "$folder/work" --clients "$folder/clients" "${compiled[@]}" "$@"
}

provide_libraries_for_node() {
    command -v npm >/dev/null || return 0
    cmp -s "$here/package-lock.json" "$folder/package-lock.json" && return
    cp "$here/package.json" "$here/package-lock.json" "$folder/"
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error
}

compile_go() {
    local go
    go=$(command -v go) || return
    "$go" build -o "$folder/go-client" "$here/clients/client.go"
}

compile_java() {
    command -v javac >/dev/null || return
    javac -d "$folder/classes" "$here/clients/JavaClient.java"
}

main "$@"
