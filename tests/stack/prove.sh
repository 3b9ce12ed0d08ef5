#!/usr/bin/env bash
# All that the proof of the stack needs where no image can be pulled, and then the proof: the base images, the images of the
# engine and the exporter, the stand-ins. What is there already is not made again, but for what Docker builds from its cache. All that any part needs is looked for first.
set -euo pipefail
cd "$(dirname "$0")/../.."

.ci/needs prove
tests/stack/base-images.sh
.ci/images -- --network host --build-arg RUST_IMAGE=rust:1.95-slim-trixie --build-arg DEBIAN_IMAGE=debian:trixie-slim
tests/stack/stand-ins.sh
tests/stack/run.sh
