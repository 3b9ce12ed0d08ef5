# shellcheck shell=bash
# Functions shared by the scripts beside it, which source it.

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

fail() {
    echo "${0##*/}: $1" >&2
    exit 1
}

# left_out WHAT WHY: reports a check that cannot run. On CI that is an error.
left_out() {
    [[ -z ${GITHUB_ACTIONS:-} ]] || fail "$1 could not be checked: $2"
    echo "Left out: $1 ($2)."
}

# known PATTERN…: prints the files that Git tracks or would track, except for deleted ones.
known() {
    git ls-files --cached --others --exclude-standard --deduplicate -- "$@" | while IFS= read -r file; do
        if [[ -f $file ]]; then
            echo "$file"
        fi
    done
}

# wait_for_engine PROCESS LOG: sets `url` to the address in the log, in JSON, of an engine that was started, once it is ready.
wait_for_engine() {
    local deadline=$((SECONDS + 60))
    until url=$(sed -n 's|.*"onnward.address":"\([^"]*\)".*|http://\1|p' "$2" | head -n 1) && [[ -n $url ]] &&
        python3 -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1])' "$url/health/ready" 2>/dev/null; do
        kill -0 "$1" 2>/dev/null || fail "the engine has ended, see $2"
        ((SECONDS < deadline)) || fail "the engine is not ready after a minute, see $2"
        sleep 0.2
    done
}

# provide_linters: adds the programs pinned in .ci/requirements.txt to PATH; fails if they cannot be installed.
provide_linters() {
    provide_python_tools target/ci-tools .ci/requirements.txt
}

# provide_python_tools FOLDER REQUIREMENTS: installs pinned packages, unless they are current, and adds them to PATH.
provide_python_tools() {
    local folder=$PWD/$1
    export PATH=$folder/bin:$PATH PYTHONPATH=$folder${PYTHONPATH:+:$PYTHONPATH}
    cmp -s "$2" "$folder/requirements.txt" && return
    rm -rf "$folder"
    PYTHONPATH='' python3 -m pip install --quiet --target "$folder" --only-binary=:all: --require-hashes \
        --requirement "$2" || return
    cp "$2" "$folder/requirements.txt"
}

# provide_cargo_tool NAME VERSION: uses the installed tool, else builds it, which takes minutes. On GitHub it is installed where
# the Cargo cache keeps it.
provide_cargo_tool() {
    local root=$PWD/target/cargo-tools
    [[ -z ${GITHUB_ACTIONS:-} ]] || root=${CARGO_HOME:-$HOME/.cargo}
    export PATH=$PATH:$root/bin
    command -v "$1" >/dev/null || cargo install --quiet --locked --root "$root" "$1@$2"
}

# Sets TELCO_CSV, from which tests read the real Telco table, if a `data` folder beside the checkout contains it.
use_real_table() {
    local table
    for table in ../*/data/telco-churn.csv; do
        if [[ -z ${TELCO_CSV:-} && -f $table ]]; then
            TELCO_CSV=$(cd "$(dirname "$table")" && pwd)/telco-churn.csv
            export TELCO_CSV
        fi
    done
    echo "Real table: ${TELCO_CSV:-none, the tests make theirs}"
}

install_debian() {
    local as_root=()
    [[ $(id -u) == 0 ]] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$@"
}
