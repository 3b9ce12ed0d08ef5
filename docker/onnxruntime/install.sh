#!/bin/sh
# Puts ONNX Runtime's shared library into a root file system, and a CycloneDX bill of materials that names it: no scanner
# recognises the file, since it came out of a package and left that behind.
#
#   docker/onnxruntime/install.sh FOLDER     (with fetch.sh beside it)
set -eu

[ $# -eq 1 ] || { echo "install.sh: it needs a folder, see the head of $0." >&2; exit 1; }
fetched=$("$(dirname "$0")/fetch.sh" --dir "$1/usr/lib")
echo "$fetched"
version=$(echo "$fetched" | cut -d ' ' -f 3)
digest=$(sha256sum "$1/usr/lib/libonnxruntime.so" | cut -d ' ' -f 1)
mkdir -p "$1/usr/share/sbom"
cat >"$1/usr/share/sbom/onnxruntime.cdx.json" <<END
{
  "bomFormat": "CycloneDX",
  "specVersion": "1.5",
  "version": 1,
  "components": [
    {
      "type": "library",
      "name": "onnxruntime",
      "version": "$version",
      "purl": "pkg:pypi/onnxruntime@$version",
      "licenses": [{"license": {"id": "MIT"}}],
      "hashes": [{"alg": "SHA-256", "content": "$digest"}]
    }
  ]
}
END
