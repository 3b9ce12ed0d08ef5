#!/usr/bin/env bash
# Has Schemathesis generate requests from the OpenAPI document of a real engine and send them to it: valid and invalid ones, once to
# an engine without keys and once to one that requires an API key everywhere. Every check is on. Fails on a 5xx, on a failed check,
# and if fewer than CASES cases were tried in either run.
#
#   tests/api_fuzz/schemathesis.sh [CASES]    10000 by default
#
# BIN is the folder of the programs, target/release by default; EXAMPLES the number of requests that are generated for each operation beside
# those that follow from the document, SEED the seed of the choice. Reports stay in target/schemathesis.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=.ci/tools.sh
. .ci/tools.sh

cases=${1:-10000}
BIN=$(realpath "${BIN:-target/release}")
SEED=${SEED:-1}
EXAMPLES=${EXAMPLES:-480}
reports=$PWD/target/schemathesis

main() {
    [[ $# -le 1 && $cases =~ ^[0-9]+$ ]] || fail "usage: tests/api_fuzz/schemathesis.sh [CASES]"
    .ci/needs api
    [[ -x $BIN/onnward-engine && -x $BIN/onnward-exporter ]] || fail "the programs are not in $BIN: run 'make build' first"
    provide_python_tools target/schemathesis-tools tests/api_fuzz/requirements.txt || fail "Schemathesis cannot be had"
    work=$(mktemp -d)
    engine=''
    trap clean_up EXIT
    mkdir -p "$reports"
    publish_a_model

    fuzz "without keys"
    "$BIN/onnward-engine" api-key everything --scopes predict,outcomes,read,admin --file "$work/keys.toml" >"$work/key" 2>"$work/key.log"
    export ONNWARD_AUTH__KEYS_FILE=$work/keys.toml ONNWARD_AUTH__PROTECT='["metrics", "docs"]'
    # Whoever writes `authorization` here has the check of ignored keys find that none was sent.
    fuzz "with an API key" --header "Authorization: Bearer $(grep -o 'onnward_[^ ]*' "$work/key")"
}

publish_a_model() {
    "$BIN/onnward-exporter" train --schema schemas/telco.toml --sample 2000 --repository "$work/models" --model churn \
        --candidates logistic --folds 2 --out "$work/report" >"$work/train.log" 2>&1 || fail "no model: $(<"$work/train.log")"
    # So that the route of an alias has one to find.
    "$BIN/onnward-exporter" promote churn 1 --repository "$work/models" >/dev/null
}

# fuzz WHAT OPTION…: starts an engine, has Schemathesis at it with these options, and looks at what came of it.
fuzz() {
    local what=$1 name=${1// /-} status=0 count failed
    shift
    start_engine "$name"
    echo "==> $what: $url"
    # It leaves a folder where it runs.
    SCHEMATHESIS_HOOKS=generated_requests PYTHONPATH=$PWD/tests/api_fuzz:$PYTHONPATH \
        env --chdir="$work" python3 -m schemathesis.cli run "$url/openapi.json" --checks all --mode all --phases examples,coverage,fuzzing,stateful \
        --max-examples "$EXAMPLES" --continue-on-failure --seed "$SEED" --generation-database none --no-color \
        --request-timeout 60 "$@" >"$reports/$name.txt" 2>&1 || status=$?
    count=$(sed -n 's/^ *\([0-9]*\) generated.*/\1/p' "$reports/$name.txt")
    cut -c -300 "$reports/$name.txt" | sed -n '/ SUMMARY /,$p'
    failed=$(failed_requests "$@")
    stop_engine
    echo "==> $what: ${count:-no} cases, ${failed:-unknown} answers of 5xx by the engine's own count"
    ((status == 0)) || fail "a check failed, see $reports/$name.txt"
    [[ $failed == 0 ]] || fail "$failed answers of 5xx"
    ((count >= cases)) || fail "$count cases are fewer than $cases: set EXAMPLES higher than $EXAMPLES"
}

start_engine() {
    ONNWARD_OUTCOMES__FOLDER=$work/outcomes-$1 ONNWARD_LOG__FORMAT=json "$BIN/onnward-engine" serve --listen 127.0.0.1:0 \
        --repository "$work/models" 2>"$reports/$1.log" >/dev/null &
    engine=$!
    wait_for_engine "$engine" "$reports/$1.log"
}

# failed_requests [--header HEADER]: how many requests the engine has answered with 5xx.
failed_requests() {
    python3 - "$url/metrics" "${2:-}" <<'PYTHON'
import re
import sys
import urllib.request

url, header = sys.argv[1:]
request = urllib.request.Request(url, headers=dict([header.split(": ")]) if header else {})
text = urllib.request.urlopen(request).read().decode()
failed = re.findall(r'^onnward_http_requests_total\{[^}]*status="5\w\w"[^}]*\} (\d+)', text, re.M)
print(sum(map(int, failed)))
PYTHON
}

stop_engine() {
    [[ -n $engine ]] || return 0
    kill "$engine" 2>/dev/null || true
    wait "$engine" 2>/dev/null || true
    engine=''
}

clean_up() {
    stop_engine
    rm -rf "$work"
}

main "$@"
