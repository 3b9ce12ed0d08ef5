"""Writes the dashboards beside this folder: python3 monitoring/grafana/source [--check]

With --check it writes nothing, and fails if a file is not what it would write. Python's own library is all it needs.
"""

import json
import pathlib
import sys

import business
import drift
import model
import service

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "dashboards"


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    for module in (service, model, business, drift):
        dashboard = module.dashboard()
        path = FOLDER / f"{dashboard['uid']}.json"
        text = json.dumps(dashboard, indent=1, ensure_ascii=False) + "\n"
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.exit(f"{path} is not what its source makes: run python3 monitoring/grafana/source")


main()
