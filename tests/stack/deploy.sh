#!/usr/bin/env bash
# The proof that docker/deploy works: two environments on one machine, reached over a real SSH server, and versions that are good, that
# never become healthy, that fail the integration tests, and that fail only under load.
#
#   tests/stack/deploy.sh
#
# It needs a Docker engine (DOCKER_HOST), Docker Compose, OpenSSH's server, jq, and the images that tests/stack/stand-ins.sh and the
# Dockerfiles make. Its ports are 127.0.0.1:18000 to 18010, or from DEPLOY_TEST_PORT on. It takes down what it has started.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly first_port=${DEPLOY_TEST_PORT:-18000} engine_image=${ENGINE_TEST_IMAGE:-onnward/engine:dev}
readonly exporter_image=${EXPORTER_TEST_IMAGE:-onnward/exporter:dev}
readonly ssh_port=$first_port webhook_port=$((first_port + 1))
folder=$(mktemp -d /tmp/onnward-deploy.XXXXXX)
started=() images=()

main() {
    .ci/needs deploy
    trap clean_up EXIT
    prepare
    first_release
    good_version
    version_that_never_is_healthy
    version_that_fails_the_tests
    version_that_fails_under_load
    production_beside_staging
    echo "PASSED in $SECONDS s"
}

# --- the parts

first_release() {
    title "A first release on a machine where nothing runs"
    release staging 1.0.0 1
    runs staging 1.0.0
    told "Onnward 1.0.0 runs in staging and is healthy."
    start_load 4 20
}

good_version() {
    title "A good version, under load"
    begin_count
    release staging 1.1.0 1
    runs staging 1.1.0
    nothing_failed
    told "Onnward 1.1.0 runs in staging and is healthy."
}

version_that_never_is_healthy() {
    title "A version that never becomes healthy, under load"
    begin_count
    DEPLOY_HEALTHY_WITHIN=30 release staging never-healthy 1 && fail "it was said to run"
    runs staging 1.1.0
    nothing_failed
    told "Onnward never-healthy was not deployed to staging. never-healthy does not run in staging; 1.1.0 does again"
}

version_that_fails_the_tests() {
    title "A version that is healthy and answers predictions with 504"
    release staging times-out 1 && fail "it was said to run"
    runs staging 1.1.0
    told "Onnward times-out was rolled back in staging. a row is scored:"
    release staging 1.2.0 1
}

# While nobody asks for anything it does well; the load comes once it is watched.
version_that_fails_under_load() {
    title "A version that passes the tests and fails under load"
    stop_load
    release staging sheds 5 >"$folder/sheds.log" &
    local releasing=$! status=0
    until grep --quiet 'watches for' "$folder/sheds.log"; do
        kill -0 "$releasing" 2>/dev/null || fail "it was not deployed: $(<"$folder/sheds.log")"
        sleep 1
    done
    start_load 16 5
    wait "$releasing" || status=$?
    cat "$folder/sheds.log"
    [[ $status == 1 ]] || fail "it was said to run"
    echo "From the beginning of the load to the end of the rollback: $(report)"
    runs staging 1.2.0
    told "Onnward sheds was rolled back in staging. staging: predictions fail:"
    told "the error budget burns at"
    begin_count
    sleep 10
    nothing_failed
}

production_beside_staging() {
    title "The version goes on to production, and staging is not touched"
    local before
    before=$(started_at staging)
    release production 1.2.0 1
    runs production 1.2.0
    [[ $(started_at staging) == "$before" ]] || fail "staging's engines were started again"
    nothing_failed
}

# --- what they check

# release ENVIRONMENT VERSION MINUTES, as the pipeline calls it.
release() {
    local start=$SECONDS status=0
    environment_of "$1"
    docker/deploy/release "$@" 2>&1 | sed -u 's/^/    /' || status=$?
    echo "release $1 $2: exit code $status after $((SECONDS - start)) s"
    return "$status"
}

runs() {
    local engine image
    for engine in engine-1 engine-2; do
        image=$(docker inspect --format '{{.Config.Image}} {{.State.Health.Status}}' "onnward-$1-$engine-1")
        [[ $image == "onnward/engine:$2 healthy" ]] || fail "in $1 $engine is $image, not $2"
    done
    [[ $(cat "$folder/machine/$1/current") == "$2" ]] || fail "$1 does not remember $2"
    echo "ok: $2 runs in $1"
}

told() {
    grep --quiet --fixed-strings -- "$1" "$folder/notifications" || fail "nobody was told: $1"
    echo "ok: somebody was told: $(grep --fixed-strings -- "$1" "$folder/notifications" | tail -n 1)"
}

started_at() {
    docker inspect --format '{{.State.StartedAt}}' "onnward-$1-engine-1-1" "onnward-$1-engine-2-1"
}

nothing_failed() {
    sleep 1
    [[ $(failed) == 0 && $(jq '.statuses["200"] // 0' "$folder/load.json") -gt 50 ]] || fail "requests failed: $(report)"
    echo "ok: no request failed: $(report)"
}

failed() {
    jq '[.statuses | to_entries[] | select(.key != "200").value] | add // 0' "$folder/load.json"
}

report() {
    jq --compact-output . "$folder/load.json"
}

# --- the load

start_load() {
    environment_of staging
    docker cp onnward-staging-load-balancer-1:/run/certificates/ca.pem "$folder/ca.pem" >/dev/null
    curl --silent --cacert "$folder/ca.pem" "$VERIFY_URL/openapi.json" |
        jq '.paths["/predict"].post.requestBody.content["application/json"].examples.one.value' >"$folder/row.json"
    python3 tests/stack/steady-load.py "$VERIFY_URL" "$folder/ca.pem" "$folder/row.json" "$folder/load.json" "$@" &
    load=$!
    started+=("$load")
    sleep 2
}

stop_load() {
    kill "$load"
    wait "$load" 2>/dev/null || true
}

begin_count() {
    kill -USR1 "$load"
}

# --- the machine

prepare() {
    mkdir -p "$folder/machine" "$folder/bin"
    find_compose
    make_versions
    start_ssh_server
    python3 tests/stack/webhook.py "$webhook_port" "$folder/notifications" &
    started+=($!)
    SSH_PRIVATE_KEY=$(<"$folder/key")
    SSH_KNOWN_HOSTS="[127.0.0.1]:$ssh_port $(cut -d ' ' -f 1,2 "$folder/host-key.pub")"
    DEPLOY_TO=ssh://$(id -un)@127.0.0.1:$ssh_port
    export SSH_PRIVATE_KEY SSH_KNOWN_HOSTS NOTIFY_URL=http://127.0.0.1:$webhook_port/ DEPLOY_TO
    # shellcheck disable=SC2046 # settings are words without blanks
    export $(docker/deploy/prepare "$folder/pipeline")
    export DEPLOY_FOLDER=$folder/machine WATCH_EVERY=5
    export DEPLOY_COMPOSE=compose.yaml:tests/stack/override.yaml:tests/stack/deploy.yaml
}

# Docker's client finds Compose as a plugin; where it is a program of its own it is made one.
find_compose() {
    docker compose version >/dev/null 2>&1 && return
    export DOCKER_CONFIG=$folder/docker
    mkdir -p "$DOCKER_CONFIG/cli-plugins"
    ln -s "$(command -v docker-compose)" "$DOCKER_CONFIG/cli-plugins/docker-compose"
}

# All are the engine, set in different ways; what a version is called is all that a good one has of its own.
make_versions() {
    make_version 1.0.0 "LABEL org.opencontainers.image.version=1.0.0"
    make_version 1.1.0 "LABEL org.opencontainers.image.version=1.1.0"
    make_version 1.2.0 "LABEL org.opencontainers.image.version=1.2.0"
    # It waits for a model that nobody has published.
    make_version never-healthy 'ENV ONNWARD_REQUIRED_MODELS=none-such'
    # A request waits for longer in the queue than it may take.
    make_version times-out 'ENV ONNWARD_BATCHING__MAX_QUEUE_DELAY_MS=200 ONNWARD_HTTP__REQUEST_TIMEOUT_MS=20'
    # The queue holds what the integration tests send, and no more.
    make_version sheds 'ENV ONNWARD_BATCHING__MAX_QUEUE_ROWS=3 ONNWARD_BATCHING__MAX_QUEUE_DELAY_MS=20'
}

make_version() {
    printf 'FROM %s\n%s\n' "$engine_image" "$2" | docker build --quiet --tag "onnward/engine:$1" - >/dev/null 2>&1
    docker tag "$exporter_image" "onnward/exporter:$1"
    images+=("onnward/engine:$1" "onnward/exporter:$1")
}

# A server of its own: own keys, own port, own configuration. Over there `docker` reaches the same engine.
start_ssh_server() {
    ssh-keygen -q -t ed25519 -N '' -f "$folder/host-key"
    ssh-keygen -q -t ed25519 -N '' -f "$folder/key"
    cat >"$folder/sshd_config" <<END
ListenAddress 127.0.0.1
Port $ssh_port
HostKey $folder/host-key
AuthorizedKeysFile $folder/key.pub
PidFile $folder/sshd.pid
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
MaxStartups 50
SetEnv DOCKER_HOST=${DOCKER_HOST:-unix:///var/run/docker.sock}
END
    [[ -d /run/sshd || $(id -u) != 0 ]] || mkdir -p /run/sshd
    /usr/sbin/sshd -D -e -f "$folder/sshd_config" 2>"$folder/sshd.log" &
    started+=($!)
}

# environment_of staging|production: its ports.
environment_of() {
    local port=$((first_port + 2))
    [[ $1 == staging ]] || port=$((first_port + 4))
    export ONNWARD_PORT=$port PROMETHEUS_PORT=$((port + 1)) VERIFY_URL=https://127.0.0.1:$port
}

clean_up() {
    local status=$? environment
    set +e
    for environment in staging production; do
        docker ps --all --quiet --filter "label=com.docker.compose.project=onnward-$environment" | xargs -r docker rm --force --volumes
        docker volume ls --quiet --filter "label=com.docker.compose.project=onnward-$environment" | xargs -r docker volume rm
        docker network ls --quiet --filter "label=com.docker.compose.project=onnward-$environment" | xargs -r docker network rm
    done >/dev/null
    docker image rm "${images[@]}" >/dev/null 2>&1
    [[ $status == 0 || ! -s $folder/sshd.log ]] || tail -n 5 "$folder/sshd.log"
    ssh -F "$folder/pipeline/ssh_config" -O exit "$DEPLOY_TO" 2>/dev/null
    kill "${started[@]}" 2>/dev/null
    wait 2>/dev/null
    rm -rf "$folder"
    exit "$status"
}

title() {
    printf '\n==> %s\n' "$*"
}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

main "$@"
