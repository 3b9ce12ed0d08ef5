#!/usr/bin/env bash
# Runs a command with a Docker engine: the one that answers, or else one of its own for as long as the command runs.
#
#   tests/stack/with-docker.sh COMMAND…
#
# Its own engine (dockerd, from Debian's docker.io for instance) needs root and keeps everything in a temporary folder, which is
# deleted at the end; with DOCKER_FOLDER=FOLDER in that one, which stays, so that images need not be built again.
set -euo pipefail

main() {
    [[ $# -gt 0 ]] || { echo "usage: tests/stack/with-docker.sh COMMAND…" >&2 && exit 2; }
    ! docker version >/dev/null 2>&1 || exec "$@"
    needs "$1"
    # Two engines would take each other's rules out of the firewall.
    ! pgrep -x dockerd >/dev/null || fail "a Docker engine runs, but does not answer here: set DOCKER_HOST to its address"
    folder=${DOCKER_FOLDER:-$(mktemp -d)}
    mkdir -p "$folder"
    trap stop EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    start
    "$@"
}

# needs COMMAND: what the command needs is told together with what the engine needs.
needs() {
    local here
    here=$(cd "$(dirname "$0")/../.." && pwd)
    case $1 in
    */prove.sh) "$here/.ci/needs" engine prove ;;
    */deploy.sh) "$here/.ci/needs" engine deploy ;;
    */run.sh) "$here/.ci/needs" engine stack ;;
    *) "$here/.ci/needs" engine ;;
    esac
}

# In a group of its own, so that Ctrl-C reaches it only once the command has taken down what it runs.
start() {
    export DOCKER_HOST=unix://$folder/docker.sock
    bridges=$(bridge)
    setsid dockerd --data-root "$folder/root" --exec-root "$folder/exec" --host "$DOCKER_HOST" --pidfile "$folder/dockerd.pid" \
        >"$folder/dockerd.log" 2>&1 &
    engine=$!
    local deadline=$((SECONDS + 60))
    until docker version >/dev/null 2>&1; do
        kill -0 "$engine" 2>/dev/null || fail "dockerd ended: $(tail -n 2 "$folder/dockerd.log")"
        ((SECONDS < deadline)) || fail "dockerd does not answer: $(tail -n 2 "$folder/dockerd.log")"
        sleep 0.5
    done
}

stop() {
    local status=$?
    trap - EXIT
    if [[ -n ${engine:-} ]]; then
        kill "$engine" 2>/dev/null || true
        wait "$engine" 2>/dev/null || true
        [[ -n $bridges ]] || ip link delete docker0 2>/dev/null || true
    fi
    [[ -n ${DOCKER_FOLDER:-} ]] || rm -rf "$folder"
    exit "$status"
}

bridge() {
    ip -oneline link show docker0 2>/dev/null || true
}

fail() {
    echo "$1" >&2
    exit 1
}

main "$@"
