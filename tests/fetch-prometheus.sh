#!/bin/sh
# Puts Prometheus and Alertmanager with their tools into target/prometheus/bin/: the tests run the rules, alerts and dashboards
# of monitoring/ with them.
#
# What this machine has installed is linked to. The rest comes out of Debian's packages, which are only unpacked; apt has
# checked them against the distribution's signatures.
set -eu

cd "$(dirname "$0")/.."
folder=target/prometheus

main() {
    mkdir -p "$folder/bin"
    if ! have prometheus || ! have promtool; then
        fetch prometheus prometheus promtool
    fi
    if ! have alertmanager prometheus-alertmanager || ! have amtool; then
        fetch prometheus-alertmanager prometheus-alertmanager amtool
        # Debian's reads its own templates under /usr/share. Only relative to that it can find the unpacked ones: it is to be
        # started in the folder. The path keeps its length.
        LC_ALL=C sed -i 's#/usr/share/prometheus/alertmanager#usr/share/prometheus/alertmanager/#g' \
            "$folder/usr/bin/prometheus-alertmanager"
    fi
    echo "Prometheus and Alertmanager are in $folder/bin"
}

# have NAME [ANOTHER]: whether the program is there, or is installed under one of the names.
have() {
    [ -x "$folder/bin/$1" ] && return
    for name in "$@"; do
        found=$(command -v "$name") && ln -sf "$found" "$folder/bin/$1" && return
    done
    return 1
}

# fetch PACKAGE PROGRAM…: unpacks Debian's package and links to its programs.
fetch() {
    package=$1
    shift
    rm -f "$folder/$package"_*.deb
    download "$package" || {
        echo "$package was not fetched: install it (Prometheus, promtool, Alertmanager and amtool are needed), or run this on" \
            "Debian after \`apt-get update\`." >&2
        exit 1
    }
    dpkg -x "$folder/$package"_*.deb "$folder"
    rm -f "$folder/$package"_*.deb
    for name in "$@"; do
        ln -sf "../usr/bin/$name" "$folder/bin/${name#prometheus-}"
    done
}

download() {
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
    (cd "$folder" && apt-get -qq download "$1") && return
    # A machine that has never looked what packages there are; only root may.
    [ "$(id -u)" = 0 ] && apt-get -qq update && (cd "$folder" && apt-get -qq download "$1")
}

main
