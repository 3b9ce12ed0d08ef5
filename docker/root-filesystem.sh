#!/bin/sh
# Composes the root file system of an image out of Debian's packages: no shell, no package manager, nothing that runs.
#
#   docker/root-filesystem.sh FOLDER PACKAGE…     (as root, on Debian)
#
# Of each package it takes the shared libraries that the programs load, what says which Debian this is, and the
# copyright. What is there is written to var/lib/dpkg/status.d, where vulnerability scanners look for it. base-files also
# brings the folders and the user, ca-certificates the bundle of certificates.
set -eu

FILES='
    usr/lib*/ld-linux*.so.* usr/lib/*/ld-linux*.so.*
    usr/lib/*/libc.so.6 usr/lib/*/libm.so.6 usr/lib/*/libdl.so.2 usr/lib/*/libpthread.so.0 usr/lib/*/librt.so.1
    usr/lib/*/libresolv.so.2 usr/lib/*/libnss_dns.so.2 usr/lib/*/libnss_files.so.2
    usr/lib/*/libgcc_s.so.1 usr/lib/*/libstdc++.so.6*
    etc/os-release etc/debian_version usr/lib/os-release
    usr/share/doc/*/copyright usr/share/doc/lib*'
USER_ID=65532

main() {
    [ $# -ge 2 ] || fail "it needs a folder and packages, see the head of $0"
    root=$1
    shift
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    mkdir -p "$root/var/lib/dpkg/status.d"
    apt-get update -qq
    (cd "$scratch" && apt-get -qq -o APT::Sandbox::User=root download "$@")
    for package in "$scratch"/*.deb; do
        unpack "$package"
        record "$package"
    done
    case " $* " in *" base-files "*) make_folders && make_users ;; esac
    case " $* " in *" ca-certificates "*) make_certificates ;; esac
}

# unpack PACKAGE: it holds few of the files, so a pattern that names none is no error.
unpack() {
    tree=$scratch/tree
    rm -rf "$tree"
    dpkg-deb --extract "$1" "$tree"
    (
        cd "$tree"
        for path in $FILES; do
            if [ -f "$path" ] || [ -L "$path" ]; then
                cp -a --parents "$path" "$root"
            fi
        done
    )
}

record() {
    name=$(dpkg-deb --field "$1" Package)
    dpkg-deb --field "$1" >"$root/var/lib/dpkg/status.d/$name"
}

# As Debian has it, /lib and /lib64 are links. What the programs write to belongs to their user.
make_folders() {
    mkdir -p "$root/usr/bin" "$root/usr/lib64"
    ln -s usr/lib "$root/lib"
    ln -s usr/lib64 "$root/lib64"
    install -d -m 1777 "$root/tmp"
    install -d -m 0750 -o "$USER_ID" -g "$USER_ID" "$root/var/lib/onnward" "$root/var/cache/onnward"
}

make_users() {
    cat >"$root/etc/passwd" <<END
root:x:0:0:root:/root:/sbin/nologin
nonroot:x:$USER_ID:$USER_ID:nonroot:/nonexistent:/sbin/nologin
END
    printf 'root:x:0:\nnonroot:x:%s:\n' "$USER_ID" >"$root/etc/group"
    echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
}

# The bundle is made when the package is installed.
make_certificates() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates >/dev/null
    mkdir -p "$root/etc/ssl/certs"
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
}

fail() {
    echo "root-filesystem.sh: $1." >&2
    exit 1
}

main "$@"
