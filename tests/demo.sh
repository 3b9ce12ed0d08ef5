#!/usr/bin/env bash
# The parts of `make demo` that are more than one command.
#
#   tests/demo.sh check   ends with an error when the demo cannot work: no schema, no table, the address in use
#   tests/demo.sh serve   serves the model repository, posts one customer, says where to look, serves until Ctrl-C
#
# The settings come from the environment, with the Makefile's defaults. `serve` ends with status 0 after Ctrl-C, SIGTERM
# or a closed terminal, once the engine has shut down, and with status 1 when the engine ends by itself or gives no
# answer. It leaves no process behind.
set -euo pipefail

BIN=${BIN:-target/release}
DATA=${DATA:-}
SCHEMA=${SCHEMA:-schemas/telco.toml}
MODEL=${MODEL:-churn}
REPOSITORY=${REPOSITORY:-model-repository}
REPORT=${REPORT:-report}
LISTEN=${LISTEN:-127.0.0.1:8000}
ADMIN=${ADMIN:-127.0.0.1:8001}

# Where a client finds the engine: a wildcard address is reached through the loopback.
port=${LISTEN##*:}
case ${LISTEN%:*} in
0.0.0.0) host=127.0.0.1 ;;
'[::]') host='[::1]' ;;
*) host=${LISTEN%:*} ;;
esac
url=http://$host:$port

main() {
    case ${1:-} in
    check) check ;;
    serve) if in_terminal_foreground; then serve_in_own_group; else serve; fi ;;
    serve-here) serve ;;
    *) fail "usage: tests/demo.sh check|serve" ;;
    esac
}

check() {
    [[ -f $SCHEMA ]] || fail "there is no schema $SCHEMA; name one with SCHEMA=schemas/….toml"
    [[ -z $DATA || -f $DATA ]] || fail "there is no table $DATA; name one with DATA=….csv, or leave DATA out for a sample"
    [[ $LISTEN == ?*:[1-9]* && $port != *[!0-9]* ]] ||
        fail "LISTEN is an address and a port such as 127.0.0.1:8000, not $LISTEN"
    if connect; then
        fail "$LISTEN is in use by another program; choose another with LISTEN=127.0.0.1:8080"
    fi
}

# Ctrl-C goes to every process of the terminal's foreground group, and make, which is one of them, then dies of it
# whatever its recipe does. In a group of our own Ctrl-C reaches us alone, and make ends as we do.
serve_in_own_group() {
    set -m
    "$0" serve-here &
    local server=$!
    # shellcheck disable=SC2064 # the process id of now
    trap "kill -TERM $server 2>/dev/null || true" EXIT
    fg %1 >/dev/null
}

serve() {
    check
    stopping='' engine='' failed=0
    trap '' TSTP # stopped by Ctrl-Z, the demo would leave an engine that answers nobody
    trap 'stop INT' INT
    trap 'stop TERM' TERM HUP
    trap 'stop KILL' QUIT EXIT

    start_engine
    if wait_until_ready && post_customer; then
        say_where_to_look
    elif engine_runs && [[ -z $stopping ]]; then
        failed=1
        stop TERM
    fi
    wait_for_engine
}

# The engine gets a process group of its own, so that one Ctrl-C is one signal to it: ours.
start_engine() {
    local command=("$BIN/onnward-engine" serve --repository "$REPOSITORY" --listen "$LISTEN" --admin-listen "$ADMIN")
    show "${command[@]}"
    set -m
    "${command[@]}" </dev/null &
    engine=$!
    set +m
    [[ -z $stopping ]] || stop TERM
}

wait_until_ready() {
    local deadline=$((SECONDS + 60))
    until [[ $(request GET /health/ready) == HTTP/1.?' 200 '* ]]; do
        engine_runs && [[ -z $stopping ]] || return 1
        if ((SECONDS > deadline)); then
            say "The engine is not ready after a minute; see its messages above."
            return 1
        fi
        sleep 0.2
    done
    engine_runs
}

# Posts one made-up customer, by curl where there is one, so that the command shown is the command run.
post_customer() {
    local path=/models/$MODEL/predict customer answer
    local sample=("$BIN/onnward-exporter" sample --schema "$SCHEMA" --rows 1 --seed 7 --format jsonl)
    show "${sample[@]}"
    customer=$("${sample[@]}") || return 1
    say "$customer"
    local post=(curl -sS -H 'content-type: application/json' -d "$customer" "$url$path")
    show "${post[@]}"
    if command -v curl >/dev/null; then
        answer=$(NO_PROXY='*' no_proxy='*' "${post[@]}") || return 1
    else
        say "(curl is not installed: the shell itself sends this request)"
        answer=$(request POST "$path" "$customer")
        answer=${answer#*$'\r\n\r\n'}
    fi
    say "$answer"
    [[ $answer == *'"probability"'* ]] || { say "That is not a prediction."; return 1; }
}

say_where_to_look() {
    say ""
    say "Onnward serves $MODEL at $url, until Ctrl-C. Look at"
    say "  $url/docs      the interface, to try in a browser"
    say "  $url/models    what is served, with its figures"
    say "  $url/metrics   what Prometheus reads"
    [[ ! -f $REPORT/report.html ]] || say "  $REPORT/report.html   how the models compare"
}

# Ends the script as the engine ended: well when it was told to, and with an error when nobody told it.
wait_for_engine() {
    local status=0
    wait "$engine" || status=$?
    while engine_runs; do # a signal to us ends `wait` early
        status=0
        wait "$engine" || status=$?
    done
    trap - EXIT
    [[ -n $stopping ]] || fail "the engine ended by itself with status $status; its last message above says why"
    case $status in
    0 | 130 | 143) say "The engine has shut down." ;; # 130 and 143: it ended in the moment that `wait` was interrupted
    *) fail "the engine shut down with status $status" ;;
    esac
    exit "$failed"
}

# stop SIGNAL: passes the signal on to the engine.
stop() {
    stopping=1
    [[ -z $engine ]] || kill -"$1" "$engine" 2>/dev/null || true
}

engine_runs() {
    kill -0 "$engine" 2>/dev/null
}

connect() {
    (exec 3<>"/dev/tcp/$(bare_host)/$port") 2>/dev/null
}

# request METHOD PATH [JSON]: prints the whole HTTP reply; nothing when there is none.
request() (
    LC_ALL=C # lengths in bytes
    body=${3:-} line=''
    exec 2>/dev/null 3<>"/dev/tcp/$(bare_host)/$port" || exit 1
    printf '%s %s HTTP/1.0\r\nHost: %s:%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' \
        "$1" "$2" "$host" "$port" "${#body}" "$body" >&3
    while IFS= read -r -t 10 line <&3; do printf '%s\n' "$line"; done
    printf '%s' "$line"
)

bare_host() {
    local bare=${host#[}
    echo "${bare%]}"
}

# Whether this process belongs to the foreground group of a terminal, where Ctrl-C would reach it.
in_terminal_foreground() {
    if [[ -r /proc/$$/stat ]]; then
        local fields
        read -r -a fields <"/proc/$$/stat" # pid (name) state parent group session terminal foreground-group …
        [[ ${fields[4]} == "${fields[7]}" ]]
    else
        [[ $(ps -o stat= -p $$ 2>/dev/null) == *+* ]]
    fi
}

# show COMMAND…: prints a command so that it can be pasted into a shell.
show() {
    local line='' word
    for word in "$@"; do
        case $word in
        *[!a-zA-Z0-9_./:=@%+,-]* | '') word=\'${word//\'/\'\\\'\'}\' ;;
        esac
        line+=${line:+ }$word
    done
    say "$line"
}

say() {
    printf '%s\n' "$1"
}

fail() {
    echo "The demo ended: $1." >&2
    exit 1
}

main "$@"
