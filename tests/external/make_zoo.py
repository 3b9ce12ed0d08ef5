"""Makes ONNX files with the packages that people use, and writes beside each what ONNX Runtime answers.

    python -m venv /tmp/zoo && /tmp/zoo/bin/pip install -r tests/external/requirements.txt
    /tmp/zoo/bin/python tests/external/make_zoo.py

README.md tells the format. `--list` names the cases, `--only NAME` makes one, and `--check` makes all again in a
temporary folder and compares the answers with those stored.
"""

import os

import sys

if os.environ.get("PYTHONHASHSEED") != "0":  # Converters name some results in the order of a set.
    os.environ.update(PYTHONHASHSEED="0", OMP_NUM_THREADS="1")
    os.execv(sys.executable, [sys.executable, *sys.argv])

sys.dont_write_bytecode = True

import argparse
import json
import shutil
import tempfile
import time
import warnings
from pathlib import Path

from cases import boosting_cases, net_cases, sklearn_cases  # noqa: F401  They register their cases.
from cases.common import REGISTRY, as_text, difference, make, size

HERE = Path(__file__).parent


def folder_of(name, root):
    """Returns the folder of a case."""
    return root / ("bad" if REGISTRY[name][2] else "zoo") / name


def write(name, root):
    """Makes a case and writes it; returns its description."""
    model, described = make(name)
    folder = folder_of(name, root)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    (folder / "case.json").write_text(as_text(described), encoding="utf-8")
    return described


def compare(name, root):
    """Says how a case made again differs from the stored one; None if it does not."""
    stored = json.loads((folder_of(name, HERE) / "case.json").read_text(encoding="utf-8"))
    again = json.loads((folder_of(name, root) / "case.json").read_text(encoding="utf-8"))
    if REGISTRY[name][2]:
        return None if stored["operators"] == again["operators"] else "other operators"
    for key in ("inputs", "outputs", "rows", "labels", "operators", "opsets"):
        if stored[key] != again[key]:
            return f"other {key}"
    distance = difference(stored["expected"], again["expected"])
    return None if distance <= 1e-6 * size(stored["expected"]) else f"answers differ by {distance:.1e}"


def report(name, described, root):
    """Prints one line about a case."""
    kib = (folder_of(name, root) / "model.onnx").stat().st_size / 1024
    native, batch = (
        "-" if value is None else f"{value:.1e}"
        for value in (described.get("native_difference"), described.get("batch_difference"))
    )
    print(f"{name:34} {described['task']:8} {kib:6.1f} KiB  native {native:8} batch {batch}", flush=True)


def prune(root):
    """Removes the folders of cases that are no more."""
    for kind in ("zoo", "bad"):
        for folder in sorted((root / kind).glob("*")):
            if folder.name not in REGISTRY or folder != folder_of(folder.name, root):
                shutil.rmtree(folder)


def main():
    """Makes, lists or checks the cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="NAME", action="append", help="make this case; may be repeated")
    parser.add_argument("--list", action="store_true", help="name the cases")
    parser.add_argument("--check", action="store_true", help="compare with what is stored")
    arguments = parser.parse_args()
    unknown = set(arguments.only or []) - set(REGISTRY)
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    warnings.filterwarnings("ignore")
    if arguments.list:
        print("\n".join(f"{name:34} {task:8} {what}" for name, (task, what, *_) in REGISTRY.items()))
        return 0
    faults, started = [], time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) if arguments.check else HERE
        for name in arguments.only or REGISTRY:
            try:
                report(name, write(name, root), root)
                fault = compare(name, root) if arguments.check else None
            except Exception as error:  # The other cases are made all the same.
                fault = f"{type(error).__name__}: {str(error)[:400]}"
            if fault:
                faults.append(f"{name}: {fault}")
    if not arguments.check and not arguments.only:
        prune(HERE)
    print(f"{len(arguments.only or REGISTRY)} cases in {time.monotonic() - started:.0f} s", *faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
