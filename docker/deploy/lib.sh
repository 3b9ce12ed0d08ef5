# shellcheck shell=bash
# What the scripts of this folder share; they source it. Whoever calls them sets, in the environment:
#
#   DEPLOY_TO           the machine, as ssh://user@host:port; it needs Docker and an SSH server, and the user may use Docker
#   DEPLOY_FOLDER       where releases are kept there [/srv/onnward]
#   DEPLOY_COMPOSE      the compose files, relative to the repository, with colons between them [compose.yaml]
#   SSH_CONFIG          a configuration file for ssh, which names the key and the known hosts
#
# and whatever compose.yaml takes, such as ONNWARD_BIND, ONNWARD_PORT, REGISTRY.
#
# On the machine, DEPLOY_FOLDER/<environment>/ holds releases/<version>.tar (the files of a release, compose.yaml among them), live/
# (those of the one that runs, which are mounted) and the files `current` and `previous`, which name versions.

fail() {
    echo "error: $*" >&2
    exit 1
}

say() {
    printf '%s %s\n' "$(date -u +%H:%M:%S)" "$*" >&2
}

# usage TEXT ARGUMENTS…: prints the text where --help is asked for.
usage() {
    case ${2:-} in -h | --help) echo "$1" && exit ;; esac
}

# use_environment NAME: from here on `compose`, `on_machine` and the rest mean this environment.
use_environment() {
    [[ $1 =~ ^[a-z][a-z0-9-]*$ ]] || fail "an environment's name is of small letters, such as staging, not: $1"
    [[ ${DEPLOY_TO:-} == ssh://* ]] || fail "DEPLOY_TO says where to deploy, as ssh://user@host:port; it is: ${DEPLOY_TO:-not set}"
    environment=$1
    project=onnward-$environment
    folder=${DEPLOY_FOLDER:-/srv/onnward}/$environment
    temporary=$(mktemp -d)
    trap 'rm -rf "$temporary"' EXIT
    export DOCKER_HOST=$DEPLOY_TO COMPOSE_PROGRESS=quiet
    use_ssh_config
}

# Docker's client calls `ssh` without a way to name a configuration file, so it finds one that does.
use_ssh_config() {
    [[ -n ${SSH_CONFIG:-} ]] || return 0
    [[ -f $SSH_CONFIG ]] || fail "there is no file $SSH_CONFIG, which SSH_CONFIG names"
    mkdir "$temporary/bin"
    printf '#!/bin/sh\nexec %q -F %q "$@"\n' "$(command -v ssh)" "$SSH_CONFIG" >"$temporary/bin/ssh"
    chmod +x "$temporary/bin/ssh"
    PATH=$temporary/bin:$PATH
}

# on_machine SCRIPT [ARGUMENT…]: runs a shell script over there, in the environment's folder.
on_machine() {
    local script=$1 argument words=''
    shift
    for argument in "$@"; do words+=" $(printf '%q' "$argument")"; done
    # shellcheck disable=SC2029 # the words are quoted for the shell over there
    ssh "$DEPLOY_TO" "set -eu; mkdir -p $(printf '%q' "$folder/releases"); cd $(printf '%q' "$folder"); set --$words; $script"
}

# version_of current|previous: which version that is, or nothing.
version_of() {
    # shellcheck disable=SC2016 # it is for the shell over there
    on_machine 'if [ -f "$1" ]; then cat "$1"; fi' "$1" </dev/null
}

# open_release VERSION: fetches its files from the machine; `compose` then means this release.
open_release() {
    release=$temporary/release
    rm -rf "$release"
    mkdir "$release"
    # shellcheck disable=SC2016
    on_machine 'cat "releases/$1.tar"' "$1" | tar -C "$release" -xf - ||
        fail "the machine has no release $1; it keeps those in $folder/releases"
    set -a
    # shellcheck source=/dev/null
    . "$release/release.env"
    set +a
}

# The mounted files are those on the machine, so paths are taken relative to where they lie there.
compose() {
    local file files=()
    IFS=: read -ra names <<<"$COMPOSE_FILES"
    for file in "${names[@]}"; do files+=(--file "$release/$file"); done
    docker compose --project-name "$project" --project-directory "$folder/live" "${files[@]}" "$@" </dev/null
}

# is_running SERVICE
is_running() {
    [[ -n $(docker ps --quiet --filter "label=com.docker.compose.project=$project" \
        --filter "label=com.docker.compose.service=$1") ]]
}

# is_up ENGINE: whether the load balancer sends requests to it.
is_up() {
    local state
    state=$(compose exec -T load-balancer wget -q -O - http://127.0.0.1:8405/metrics 2>/dev/null |
        sed -n "s/^haproxy_server_status{proxy=\"engines\",server=\"$1\",state=\"UP\"} //p")
    [[ $state == 1 ]]
}

# engines: the names of the engines' services.
engines() {
    compose config --services | grep '^engine-' | sort
}
