#!/usr/bin/env bash
# Generates clients from the OpenAPI document of a real engine, and predicts with them: openapi-python-client for Python, and
# openapi-typescript for TypeScript. Among the models are some whose names, columns and values no program would choose. Fails if a
# generator warns, if a compiler finds a fault in what it made, and if a prediction is not the one that is made without a client.
#
#   tests/generated_clients/generate.sh
#
# BIN is the folder of the programs, target/release by default. What is generated stays in target/generated-clients. It needs npm.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=.ci/tools.sh
. .ci/tools.sh

BIN=$(realpath "${BIN:-target/release}")
here=tests/generated_clients
folder=$PWD/target/generated-clients

main() {
    [[ -x $BIN/onnward-engine && -x $BIN/onnward-exporter ]] || fail "the programs are not in $BIN: run 'make build' first"
    .ci/needs clients
    provide_python_tools target/generated-clients-tools "$here/requirements.txt" || fail "the generator for Python cannot be had"
    rm -rf "$folder"
    mkdir -p "$folder/typescript"
    work=$(mktemp -d)
    engine=''
    trap clean_up EXIT
    publish_models
    start_engine
    python3 -c 'import sys, urllib.request as r; r.urlretrieve(*sys.argv[1:])' "$url/openapi.json" "$folder/openapi.json"
    python3 -m openapi_spec_validator "$folder/openapi.json"
    client_for_python
    client_for_typescript
}

publish_models() {
    local name
    python3 -B "$here/odd.py" "$work"
    # Two names that become one identifier.
    for name in churn my-model my.model; do
        train "$name" --schema schemas/telco.toml --sample 1000 --candidates logistic
    done
    train odd --schema "$work/odd.toml" --data "$work/odd.csv" --candidates forest --forest-trees 10
    for name in case markup signs; do
        "$BIN/onnward-exporter" publish tests/data/external/torch-logits.onnx --model "$name" --repository "$work/models" \
            --config "$work/$name.config.toml" >"$work/$name.log" 2>&1 || fail "$name was not published: $(<"$work/$name.log")"
    done
}

# train NAME OPTION…
train() {
    local name=$1
    shift
    "$BIN/onnward-exporter" train "$@" --repository "$work/models" --model "$name" --folds 2 \
        --out "$work/report-$name" >"$work/$name.log" 2>&1 || fail "$name was not trained: $(<"$work/$name.log")"
}

start_engine() {
    printf 'default_model = "churn"\nrequired_models = ["churn", "my-model", "my.model", "odd", "case", "markup", "signs"]\n' >"$work/engine.toml"
    ONNWARD_LOG__FORMAT=json "$BIN/onnward-engine" serve --config "$work/engine.toml" --listen 127.0.0.1:0 --repository "$work/models" \
        2>"$folder/engine.log" >/dev/null &
    engine=$!
    wait_for_engine "$engine" "$folder/engine.log"
}

client_for_python() {
    python3 -m openapi_python_client generate --path "$folder/openapi.json" --output-path "$folder/python/onnward_client" --meta none \
        --config "$here/generator.yaml" --fail-on-warning
    cp "$here/predict.py" "$folder/python/"
    (cd "$folder/python" && python3 -m compileall -q onnward_client && python3 -m mypy --strict --follow-imports silent predict.py)
    PYTHONPATH=$folder/python:$PYTHONPATH python3 -B "$folder/python/predict.py" "$url"
}

client_for_typescript() {
    local there=$folder/typescript
    cp "$here/package.json" "$here/package-lock.json" "$here/predict.ts" "$there/"
    npm ci --prefix "$there" --ignore-scripts --no-audit --no-fund --loglevel=error
    "$there/node_modules/.bin/openapi-typescript" "$folder/openapi.json" --output "$there/api.d.ts"
    (cd "$there" && node_modules/.bin/tsc --strict --noUncheckedIndexedAccess --module nodenext --target es2022 predict.ts)
    # The rows that the document shows.
    python3 -c 'import json, sys
paths = json.load(open(sys.argv[1]))["paths"]
shown = lambda name: paths[f"/models/{name}/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]["one"]["value"]
print(json.dumps({name: shown(name) for name in ("churn", "odd")}))' "$folder/openapi.json" >"$there/rows.json"
    node "$there/predict.js" "$url" "$there/rows.json"
}

clean_up() {
    if [[ -n $engine ]]; then
        kill "$engine" 2>/dev/null || true
        wait "$engine" 2>/dev/null || true
    fi
    rm -rf "$work"
}

main "$@"
