"""Prints cargo-llvm-cov's summary as a Markdown table by crate; exits with 1 below a minimum share of the lines.

usage: coverage.py SUMMARY.json MINIMUM_PERCENT
"""

import collections
import json
import pathlib
import sys


def main(summary, minimum):
    crates = lines_by_crate(json.loads(pathlib.Path(summary).read_text()))
    covered, total = (sum(column) for column in zip(*crates.values()))
    print("| crate | lines | covered | |\n|---|--:|--:|--:|")
    for name, (reached, count) in sorted(crates.items()):
        print(row(name, reached, count))
    print(row("**all**", covered, total))
    if percent(covered, total) < minimum:
        sys.exit(f"Only {percent(covered, total):.1f} % of the lines are covered, {minimum:g} % are needed.")


def lines_by_crate(report):
    crates = collections.defaultdict(lambda: (0, 0))
    for file in report["data"][0]["files"]:
        name = crate_of(pathlib.Path(file["filename"]))
        lines = file["summary"]["lines"]
        crates[name] = (crates[name][0] + lines["covered"], crates[name][1] + lines["count"])
    return crates


def crate_of(path):
    """The folder of the next Cargo.toml above a source file."""
    folder = next(parent for parent in path.parents if (parent / "Cargo.toml").is_file())
    return str(folder.relative_to(pathlib.Path.cwd()))


def row(name, covered, total):
    return f"| {name} | {total:,} | {covered:,} | {percent(covered, total):.1f} % |"


def percent(covered, total):
    return 100 * covered / total


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], float(sys.argv[2]))
