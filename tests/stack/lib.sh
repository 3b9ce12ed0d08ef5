# shellcheck shell=bash disable=SC2154
# What the proof of the stack is made of; run.sh sets base, prometheus and work: Compose with this project's files, clients, load, waiting, figures.

# compose ARGUMENTS…: Docker Compose on the stack under proof, as a plug-in of docker or as a program of its own.
compose() {
    "${COMPOSE[@]}" --project-name "$PROJECT" --file compose.yaml --file tests/stack/override.yaml "$@"
}

find_compose() {
    COMPOSE=(docker-compose)
    ! docker compose version >/dev/null 2>&1 || COMPOSE=(docker compose)
}

# client ARGUMENTS…: curl that trusts the stack's authority alone.
client() {
    curl --silent --show-error --max-time 30 --cacert "$work/ca.pem" --header 'content-type: application/json' "$@"
}

# status_of ARGUMENTS…: the HTTP status of an answer.
status_of() {
    client --output /dev/null --write-out '%{http_code}' "$@"
}

# inside URL: what is at a URL that only the stack's own networks reach.
inside() {
    compose exec -T prometheus wget -q -O - "$1"
}

# query PROMQL: the value of a query's first series.
query() {
    curl --silent --get --data-urlencode "query=$1" "$prometheus/api/v1/query" | jq -r '.data.result[0].value[1] // "none"'
}

container() {
    docker ps --all --quiet --filter "label=com.docker.compose.project=$PROJECT" --filter "label=com.docker.compose.service=$1" \
        --filter label=com.docker.compose.oneoff=False
}

# kill_process SERVICE: SIGKILL from outside its container. `docker kill` would count as a wish, after which nothing restarts it.
kill_process() {
    local process
    process=$(docker inspect --format '{{.State.Pid}}' "$(container "$1")")
    docker run --rm --pull never --pid host --cap-drop ALL --cap-add KILL --user 0 "$PYTHON_IMAGE" \
        python -c "import os, signal; os.kill($process, signal.SIGKILL)"
}

# until_true SECONDS COMMAND…: waits until the command succeeds.
until_true() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || return 1
        sleep 0.2
    done
}

healthy() {
    [[ $(docker inspect --format '{{.State.Health.Status}}' "$(container "$1")") == healthy ]]
}

# The engine's share in answering: its state as HAProxy sees it.
balanced() {
    inside http://load-balancer:8405/metrics |
        grep -q "^haproxy_server_status{proxy=\"engines\",server=\"$1\",state=\"UP\"} 1"
}

serves_version() {
    [[ $(inside "http://$1:8000/models/churn" | jq .serving.version) == "$2" ]]
}

# start_load KIND SECONDS: posts customers in the background; KIND is keep-alive, new-connections or http2.
start_load() {
    local url=$base/predict
    case $1 in
    keep-alive) hey -z "${2}s" -c 16 -m POST -T application/json -D "$work/customer.json" "$url" ;;
    new-connections) hey -z "${2}s" -c 16 -disable-keepalive -m POST -T application/json -D "$work/customer.json" "$url" ;;
    http2) h2load --duration "$2" --clients 4 --max-concurrent-streams 8 --data "$work/customer.json" \
        --header 'content-type: application/json' "$url" ;;
    esac >"$work/load" 2>&1 &
    load=$! load_kind=$1
    sleep 2
}

# end_load WHAT: waits for the load and ends the proof unless every single request was answered with 200.
end_load() {
    wait "$load" || fail "the load generator failed: $(tail -n 3 "$work/load")"
    load=''
    local answered other
    if [[ $load_kind == http2 ]]; then
        answered=$(sed -n 's/^status codes: \([0-9]*\) 2xx.*/\1/p' "$work/load")
        other=$(sed -n 's/^requests: .* \([0-9]*\) failed, \([0-9]*\) errored, \([0-9]*\) timeout/\1+\2+\3/p' "$work/load")
        other=$((${other:-1} + $(sed -n 's/.* \([0-9]*\) 3xx, \([0-9]*\) 4xx, \([0-9]*\) 5xx/\1+\2+\3/p' "$work/load")))
    else
        answered=$(sed -n 's/^  \[200\]\t\([0-9]*\) responses/\1/p' "$work/load")
        other=$(sed -n '/^Status code distribution/,$p' "$work/load" | grep -c -v -E '^$|:$|^  \[200\]' || true)
    fi
    [[ ${answered:-0} -gt 100 && $other == 0 ]] || fail "requests failed while $1: $(grep -A 20 -E 'Status|Error|^requests' "$work/load")"
    figure "$1" "$answered requests ($load_kind), none failed"
}

step() {
    printf '\n==> %s\n' "$1"
}

# figure NAME VALUE: kept for the end, and shown now.
figure() {
    figures+=("$(printf '%-62s %s' "$1" "$2")")
    printf '    %s: %s\n' "$1" "$2"
}

# since START: the seconds since a time that `now` told.
since() {
    awk -v start="$1" -v end="$(now)" 'BEGIN { printf "%.1f s", end - start }'
}

now() {
    date +%s.%N
}

fail() {
    printf '\nThe proof failed: %s\n' "$1" >&2
    exit 1
}
