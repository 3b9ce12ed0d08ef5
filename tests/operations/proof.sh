#!/usr/bin/env bash
# Proves an operator's faults: stores that lie, drip and refuse, stray keys, full disks, restarts, signals, rollbacks under load, and
# a day in the life of a model. Runs over SeaweedFS, moto, s3rver and folders, behind a proxy of its own that injects faults.
#
#   tests/operations/proof.sh [OPTION…]    such as --list, --case NAME, --store moto, --rounds 10 or --output json; --help lists them
#
# BIN is the folder of the programs, target/release by default. SeaweedFS, moto and s3rver are pinned. What a machine cannot do is left
# out and named: some cases need root, a C compiler, openssl or Linux's control groups. What ran stays in target/operations/work.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=.ci/tools.sh
. .ci/tools.sh

BIN=$(realpath "${BIN:-target/release}")
here=tests/operations
folder=$PWD/target/operations

main() {
    .ci/needs operations
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "Python 3.10 or later is needed, not $(python3 --version)"
    [[ -x $BIN/onnward-engine && -x $BIN/onnward-exporter ]] || fail "the programs are not in $BIN: run 'make build' first"
    mkdir -p "$folder"
    {
        provide_python_tools target/operations-tools "$here/requirements.txt" || fail "moto and boto3 cannot be installed"
        tests/fetch-seaweedfs.sh || left_out "SeaweedFS" "it cannot be fetched"
        provide_s3rver || left_out "s3rver" "it cannot be installed"
    } >&2
    exec python3 -B "$here/operations.py" --programs "$BIN" --target "$PWD/target" "$@"
}

provide_s3rver() {
    command -v npm >/dev/null || return
    cmp -s "$here/package-lock.json" "$folder/package-lock.json" && return
    cp "$here/package.json" "$here/package-lock.json" "$folder/"
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error && return
    rm -f "$folder/package-lock.json"
    return 1
}

main "$@"
