#!/usr/bin/env bash
# Fuzzes with cargo-fuzz, one target after the other. What was found to be new lies in target/fuzz/corpus/TARGET afterwards,
# what crashes in tests/fuzz/artifacts/TARGET: put that under tests/fuzz/corpus/TARGET, where a plain test runs it for good.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=.ci/tools.sh
. .ci/tools.sh

# tract's errors carry backtraces where these are asked for, and they take longer than all else.
export RUST_BACKTRACE=0

ALL=(request metadata manifest model external credentials)
VERSION=0.13.2

usage() {
    cat <<END
usage: tests/fuzz/run.sh [--minutes N] [--target NAME]... [--minimise]
  --minutes N    how long each target runs (default 5)
  --target NAME  one of ${ALL[*]} (default: all)
  --minimise     instead: keep in target/fuzz/corpus only what covers something of its own
END
}

# The longest input of a target: beyond it is only more of the same.
longest() {
    case "$1" in
        model) echo 32768 ;;
        metadata) echo 16384 ;;
        manifest | external) echo 8192 ;;
        *) echo 4096 ;;
    esac
}

# cargo-fuzz needs a compiler that takes flags that are not stable; the pinned one does when it is told to.
fuzz() {
    RUSTC_BOOTSTRAP=1 cargo fuzz "$1" --fuzz-dir tests/fuzz --target-dir target/fuzz "${@:2}"
}

run_target() {
    local target=$1 seconds=$2 corpus="target/fuzz/corpus/$1" dictionary="tests/fuzz/dictionaries/$1.dict"
    local options=("-max_total_time=$seconds" "-max_len=$(longest "$target")" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1)
    [ ! -f "$dictionary" ] || options+=("-dict=$dictionary")
    mkdir -p "$corpus"
    echo "== $target, $((seconds / 60)) minutes"
    fuzz run "$target" "$corpus" "tests/fuzz/corpus/$target" -- "${options[@]}"
}

minimise() {
    mkdir -p "target/fuzz/corpus/$1"
    fuzz cmin "$1" "target/fuzz/corpus/$1"
}

main() {
    local minutes=5 targets=() step=run
    while [ $# -gt 0 ]; do
        case "$1" in
            --minutes) minutes=${2:?--minutes needs a number}; shift 2 ;;
            --target) targets+=("${2:?--target needs a name}"); shift 2 ;;
            --minimise) step=minimise; shift ;;
            --help | -h) usage; return ;;
            *) usage >&2; return 2 ;;
        esac
    done
    [ ${#targets[@]} -gt 0 ] || targets=("${ALL[@]}")
    provide_cargo_tool cargo-fuzz "$VERSION"
    local target
    for target in "${targets[@]}"; do
        if [ "$step" = minimise ]; then minimise "$target"; else run_target "$target" $((minutes * 60)); fi
    done
}

main "$@"
