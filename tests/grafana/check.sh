#!/bin/sh
# Holds Grafana's dashboards against Grafana's own software: its types (npm's @grafana/schema), its SDK (PyPI's
# grafana-foundation-sdk), and a parser of PromQL. It needs npm and Python with pip; what it fetches is pinned and goes into
# target/grafana/.
set -eu

cd "$(dirname "$0")/../.."
here=tests/grafana
folder=target/grafana

.ci/needs dashboards
rm -rf "$folder/types"
mkdir -p "$folder/types"
cp "$here/package.json" "$here/package-lock.json" "$folder/"
npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error
python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --upgrade --target "$folder/python" \
    --only-binary=:all: --require-hashes --requirement "$here/requirements.txt"

PYTHONPATH="$folder/python" python3 "$here/check.py" monitoring/grafana/dashboards/*.json --types "$folder/types"
"$folder/node_modules/.bin/tsc" --noEmit --strict --skipLibCheck --module nodenext --target es2022 "$folder"/types/*.ts
echo "Grafana's types and SDK take all dashboards as they are."
