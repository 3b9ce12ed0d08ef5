#!/usr/bin/env bash
# Proves compose.yaml by a real run: brings the stack up from nothing, predicts over TLS, changes the model, kills, stops and
# replaces parts of it under load, and takes it down. Prints figures, and leaves nothing behind.
#
#   tests/stack/run.sh
#
# It needs a Docker engine (DOCKER_HOST; tests/stack/with-docker.sh starts one), Docker Compose, curl, jq, hey and h2load, the
# images onnward/engine and onnward/exporter (ONNWARD_VERSION, ENGINE_IMAGE and EXPORTER_IMAGE as in compose.yaml), and the
# stand-ins of tests/stack/stand-ins.sh. Ports are those of compose.yaml, unless ONNWARD_PORT and the others say otherwise.
# With FAILURE_LOGS=FOLDER the containers' logs are kept there when it fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/stack/lib.sh
. tests/stack/lib.sh

PROJECT=${PROJECT:-onnward-proof}
PYTHON_IMAGE=python:3.13.15-slim-trixie
base=https://localhost:${ONNWARD_PORT:-8000}
prometheus=http://127.0.0.1:${PROMETHEUS_PORT:-9090}
grafana=http://127.0.0.1:${GRAFANA_PORT:-3000}
figures=() load=''

main() {
    [[ $# == 0 ]] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2 && exit 2; }
    .ci/needs stack
    find_compose
    docker version >/dev/null 2>&1 || fail "no Docker engine answers; set DOCKER_HOST, or run it under tests/stack/with-docker.sh"
    [[ -z $(left_behind) ]] || fail "there is something of the project $PROJECT already: docker compose -p $PROJECT down -v"
    work=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP

    bring_up
    predict
    refuse_outsiders
    see_it
    promote_under_load
    lose_engines_under_load
    change_under_load
    join_outcomes
    lose_the_store
    come_back
    trace_into_mlflow
    take_down
    printf '\nThe stack is proven, in %s s:\n' "$SECONDS"
    printf '  %s\n' "${figures[@]}"
}

bring_up() {
    step "up from nothing"
    local start
    start=$(now)
    compose up --detach --wait --quiet-pull 2>"$work/up" || fail "it does not come up: $(tail -n 5 "$work/up")"
    figure "up from nothing, everything healthy" "$(since "$start")"
    compose cp load-balancer:/run/certificates/ca.pem "$work/ca.pem" 2>/dev/null
    compose run --rm -T exporter sample --schema=/usr/share/onnward/schemas/telco.toml --rows=1 --seed=7 --format=jsonl \
        2>/dev/null >"$work/customer.json"
}

predict() {
    step "predict through the load balancer"
    local answer
    answer=$(client --data "@$work/customer.json" "$base/predict")
    [[ $(jq .version <<<"$answer") == 1 ]] || fail "that is no prediction by version 1: $answer"
    ! curl --silent --output /dev/null "$base/health" || fail "a client that does not know the authority trusts the certificate"
    ! client --output /dev/null --tls-max 1.1 "$base/health" 2>/dev/null || fail "TLS 1.1 is accepted"
    [[ $(client --http2 --output /dev/null --write-out '%{http_version}' "$base/health") == 2 ]] || fail "HTTP/2 is not offered"
    [[ $(client --http1.1 --output /dev/null --write-out '%{http_version}' "$base/health") == 1.1 ]] || fail "no HTTP/1.1"
    figure "prediction over verified TLS" "$answer"
}

refuse_outsiders() {
    step "what is inside stays inside"
    local path published
    for path in /metrics /admin/reload //metrics /%6detrics /admin /models/../admin/reload; do
        [[ $(status_of --path-as-is --request POST "$base$path") == 404 ]] || fail "$path is reached from outside"
    done
    head -c 9000000 /dev/zero >"$work/large"
    [[ $(status_of --data-binary "@$work/large" "$base/predict") == 413 ]] || fail "a body of 9 MB is not refused"
    published=$(docker ps --filter "label=com.docker.compose.project=$PROJECT" --format '{{.Ports}}' | grep -o '[0-9.]*:[0-9]*->' | sort)
    [[ $(grep -c . <<<"$published") == 3 && $(grep -vc '^127\.0\.0\.1:' <<<"$published") == 0 ]] ||
        fail "other than three ports of the loopback are published: $published"
    outsider_reaches_nothing
    engines_only_read
    figure "published ports" "$(tr -d '>-' <<<"$published" | tr '\n' ' ')"
}

# A container beside the load balancer reaches neither the engines nor the store, by their addresses.
outsider_reaches_nothing() {
    local service address port
    for service in engine-1:8000 object-store:8333 object-store:8888; do
        port=${service#*:}
        for address in $(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$(container "${service%:*}")"); do
            ! docker run --rm --pull never --network "${PROJECT}_edge" "$PYTHON_IMAGE" \
                python -c "import socket; socket.create_connection(('$address', $port), 1)" 2>/dev/null ||
                fail "$service is reached from the load balancer's outer network"
        done
    done
    ! compose exec -T engine-1 true >/dev/null 2>&1 || fail "the engine's image has a shell's tools"
    ! compose exec -T prometheus wget -q -T 2 -O - http://object-store:8333/healthz 2>/dev/null || fail "Prometheus reaches the store"
}

# With an engine's keys models can be read, and nothing can be written.
engines_only_read() {
    local as_engine=(compose run --rm -T --volume "${PROJECT}_engine-keys:/run/secrets:ro" exporter)
    "${as_engine[@]}" versions churn --repository=s3://models >/dev/null 2>&1 || fail "the engines' keys cannot read the repository"
    ! "${as_engine[@]}" alias set churn other 1 --repository=s3://models >/dev/null 2>&1 || fail "the engines' keys can write"
}

see_it() {
    step "Prometheus, Alertmanager, Grafana"
    until_true 60 scrapes_all || fail "Prometheus does not scrape everything: $(query 'sum by (job) (up)')"
    [[ $(curl --silent "$prometheus/api/v1/rules" | jq '[.data.groups[].rules[] | select(.health == "err")] | length') == 0 ]] ||
        fail "a rule cannot be evaluated"
    [[ $(curl --silent "$prometheus/api/v1/alertmanagers" | jq '.data.activeAlertmanagers | length') == 1 ]] ||
        fail "Prometheus has no Alertmanager"
    local password rules
    password=$(compose exec -T grafana cat /run/secrets/admin-password)
    [[ $(curl --silent --output /dev/null --write-out '%{http_code}' "$grafana/api/datasources/proxy/uid/prometheus/api/v1/query?query=up") == 401 ]] ||
        fail "Grafana asks for no password"
    printf 'user = "admin:%s"\n' "$password" >"$work/grafana.curl"
    [[ $(curl --silent --config "$work/grafana.curl" "$grafana/api/datasources/proxy/uid/prometheus/api/v1/query?query=count(up)" |
        jq -r '.data.result[0].value[1]') == 5 ]] || fail "Grafana does not reach Prometheus"
    [[ $(query 'min(onnward_certificate_expiry_timestamp_seconds) - time() > bool 300 * 86400') == 1 ]] ||
        fail "the engines do not watch the certificate"
    rules=$(curl --silent "$prometheus/api/v1/rules" | jq '[.data.groups[].rules[]] | length')
    figure "Prometheus scrapes" "2 engines, load balancer, Alertmanager, itself; $rules rules, none failing"
}

scrapes_all() {
    [[ $(query 'sum(up{job="onnward"})') == 2 && $(query 'sum(up)') == 5 ]]
}

promote_under_load() {
    step "a second version"
    local start engine
    compose run --rm -T exporter train --schema=/usr/share/onnward/schemas/telco.toml --sample=7000 --seed=43 \
        --candidates=forest --repository=s3://models --model=churn >"$work/train" 2>&1 || fail "$(tail -n 3 "$work/train")"
    start_load keep-alive 20
    start=$(now)
    compose run --rm -T exporter promote churn 2 --repository=s3://models >"$work/promote" 2>&1 || fail "$(tail -n 3 "$work/promote")"
    for engine in engine-1 engine-2; do
        until_true 30 serves_version "$engine" 2 || fail "$engine does not swap: $(inside "http://$engine:8000/models/churn" | jq -c "{serving, last_error}")"
    done
    figure "promoted, both engines swapped after" "$(since "$start")"
    end_load "a version is promoted"
    [[ $(client --data "@$work/customer.json" "$base/predict" | jq .version) == 2 ]] || fail "version 2 does not answer"
}

lose_engines_under_load() {
    step "engines are killed"
    lose engine-1 keep-alive
    lose engine-2 new-connections
    lose engine-1 http2
}

# lose ENGINE KIND: kills it under load; it must come back by itself.
lose() {
    local start restarts
    restarts=$(docker inspect --format '{{.RestartCount}}' "$(container "$1")")
    start_load "$2" 14
    start=$(now)
    kill_process "$1"
    until_true 30 restarted_since "$1" "$restarts" || fail "$1 is not restarted"
    until_true 30 balanced "$1" || fail "$1 is not given requests again"
    figure "$1 killed, answering again after" "$(since "$start")"
    end_load "$1 is killed"
}

restarted_since() {
    (($(docker inspect --format '{{.RestartCount}}' "$(container "$1")") > $2))
}

change_under_load() {
    step "reload, stop, replace"
    local kind
    for kind in keep-alive new-connections; do
        start_load "$kind" 10
        compose exec -T load-balancer haproxy -q -c -f /usr/local/etc/haproxy/haproxy.cfg
        compose kill --signal USR2 load-balancer 2>/dev/null
        sleep 3
        compose kill --signal USR2 load-balancer 2>/dev/null
        end_load "HAProxy is reloaded twice"
    done
    start_load keep-alive 16
    compose stop engine-2 2>/dev/null
    [[ $(docker inspect --format '{{.State.ExitCode}}' "$(container engine-2)") == 0 ]] || fail "engine-2 did not end by itself"
    compose start engine-2 2>/dev/null
    end_load "engine-2 is stopped and started"
    until_true 30 balanced engine-2 || fail "engine-2 is not given requests again"
    start_load new-connections 16
    compose up --detach --wait --no-deps --force-recreate engine-1 2>/dev/null
    end_load "engine-1 is made anew"
    until_true 30 balanced engine-1 || fail "engine-1 is not given requests again"
}

join_outcomes() {
    step "outcomes"
    local outcomes
    outcomes=$(for _ in 1 2 3 4 5 6; do client --data "@$work/customer.json" "$base/predict"; done | jq -sc 'map({id, label: "Yes"})')
    local before
    before=$(inside http://engine-1:8000/metrics | grep -c '^onnward_predictions_total' || true)
    [[ $before -gt 0 ]] || fail "engine-1 made no prediction"
    compose stop engine-1 2>/dev/null
    [[ $(status_of --data "$outcomes" "$base/outcomes") == 503 ]] || fail "outcomes are taken while the engine is away that they belong to"
    compose up --detach --wait --no-deps engine-1 2>/dev/null
    until_true 30 balanced engine-1 || fail "engine-1 is not given requests again"
    local answer
    answer=$(client --data "$outcomes" "$base/outcomes")
    [[ $(jq '.joined + .duplicate' <<<"$answer") == 6 && $(jq .unknown <<<"$answer") == 0 ]] || fail "outcomes are lost: $answer"
    [[ $(client --data "$outcomes" "$base/outcomes" | jq .duplicate) == 6 ]] || fail "an outcome that comes twice is no duplicate"
    figure "outcomes of predictions by both engines" "$(jq -c '{joined, duplicate, unknown}' <<<"$answer") after a 503 with one engine away"
}

lose_the_store() {
    step "the object store is away"
    start_load keep-alive 14
    kill_process object-store
    compose stop object-store 2>/dev/null
    sleep 2
    kill_process engine-2 # it must come back from its cache
    until_true 30 balanced engine-2 || fail "engine-2 does not start without the store"
    end_load "the store is dead and engine-2 restarts"
    compose start object-store 2>/dev/null
    until_true 60 healthy object-store || fail "the store does not come back"
    compose run --rm -T exporter rollback churn --repository=s3://models >"$work/rollback" 2>&1 || fail "$(tail -n 3 "$work/rollback")"
    until_true 90 serves_version engine-1 1 || fail "engine-1 does not see the store again"
    until_true 90 serves_version engine-2 1 || fail "engine-2 does not see the store again"
    figure "store back" "both engines have followed a rollback"
}

come_back() {
    step "up again, down and up"
    local before after versions
    before=$(docker ps --quiet --filter "label=com.docker.compose.project=$PROJECT" | sort)
    compose up --detach --wait 2>/dev/null
    after=$(docker ps --quiet --filter "label=com.docker.compose.project=$PROJECT" | sort)
    [[ $before == "$after" ]] || fail "a second up makes containers anew"
    compose down 2>/dev/null
    compose up --detach --wait 2>"$work/up" || fail "it does not come up again: $(tail -n 5 "$work/up")"
    [[ $(client --data "@$work/customer.json" "$base/predict" | jq .version) == 1 ]] || fail "it serves something else than before"
    versions=$(compose run --rm -T exporter versions churn --repository=s3://models --output=json 2>/dev/null | jq '.versions | length')
    [[ $versions == 2 ]] || fail "there are $versions versions after down and up, not 2"
    figure "down and up with kept volumes" "same certificate, keys and 2 versions"
}

trace_into_mlflow() {
    step "traces in MLflow"
    if ! docker image inspect onnward/mlflow:3.17.2 >/dev/null 2>&1; then
        figure "traces in MLflow" "left out, there is no image onnward/mlflow:3.17.2"
        return
    fi
    local start
    start=$(now)
    ONNWARD_TRACING__ENDPOINT=http://mlflow:5000 compose --profile mlflow up --detach --wait 2>"$work/up" ||
        fail "MLflow does not come up: $(tail -n 5 "$work/up")"
    figure "MLflow added" "$(since "$start")"
    client --data "@$work/customer.json" "$base/predict" >/dev/null
    until_true 60 traced || fail "no trace has reached MLflow: $(compose logs --tail 5 engine-1 mlflow)"
    figure "traces in MLflow" "$(traces | jq '.traces | length') found by its search"
}

traces() {
    curl --silent --json '{"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}]}' \
        "http://127.0.0.1:${MLFLOW_PORT:-5000}/api/3.0/mlflow/traces/search"
}

traced() {
    traces | jq -e '.traces | length > 0'
}

take_down() {
    step "down"
    local start
    start=$(now)
    compose --profile '*' down --volumes --remove-orphans 2>/dev/null
    figure "down" "$(since "$start")"
    [[ -z $(left_behind) ]] || fail "down leaves behind: $(left_behind)"
}

left_behind() {
    local filter=(--quiet --filter "label=com.docker.compose.project=$PROJECT")
    docker ps --all "${filter[@]}"
    docker volume ls "${filter[@]}"
    docker network ls "${filter[@]}"
}

clean_up() {
    local status=$?
    trap - EXIT
    [[ -z $load ]] || kill "$load" 2>/dev/null || true
    if [[ $status != 0 && -n ${FAILURE_LOGS:-} ]]; then
        mkdir -p "$FAILURE_LOGS"
        compose --profile '*' logs --timestamps >"$FAILURE_LOGS/stack.log" 2>&1 || true
        cp "$work"/* "$FAILURE_LOGS" || true
    fi
    compose --profile '*' down --volumes --remove-orphans --timeout 5 >/dev/null 2>&1 || true
    rm -rf "$work"
    exit "$status"
}

main "$@"
