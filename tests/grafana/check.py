"""Holds the dashboards against Grafana's own software: check.py DASHBOARD... --types FOLDER

Each is read and written again by Grafana's SDK, which must lose nothing; each query is parsed by a PromQL parser; and each is written
into FOLDER as TypeScript, for the compiler to hold against Grafana's types.
"""

import argparse
import json
import pathlib
import re

import promql_parser
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

# In JSON the values of an enum are its strings.
TYPES = """import type { Dashboard } from "@grafana/schema";
type Json<T> = T extends string ? `${T}` : T extends (infer Item)[] ? Json<Item>[]
  : T extends object ? { [Key in keyof T]: Json<T[Key]> } : T;
export const dashboard: Json<Dashboard> = %s;
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dashboards", nargs="+", type=pathlib.Path)
    parser.add_argument("--types", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    plugins.register_default_plugins()
    problems = []
    for path in arguments.dashboards:
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        problems += [f"{path}: {problem}" for problem in wrong_queries(dashboard)]
        hide_annotation_queries(dashboard)
        written = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(dashboard)))
        problems += [f"{path}: {lost}" for lost in losses(dashboard, written)]
        (arguments.types / f"{path.stem}.ts").write_text(TYPES % json.dumps(dashboard), encoding="utf-8")
        print(f"{path.name}: {sum('targets' in panel for panel in dashboard['panels'])} panels")
    if problems:
        raise SystemExit("\n".join(problems))


def losses(before, after, place=""):
    """Where the second is not what the first says; it may say more."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from losses(value, after[key], f"{place}/{key}") if key in after else [f"{place}/{key}"]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after)):
            yield from losses(one, other, f"{place}/{index}")
    elif before != after:
        yield place


def wrong_queries(dashboard):
    targets = [(panel["title"], target) for panel in dashboard["panels"] for target in panel.get("targets", [])]
    targets += [(annotation["name"], annotation["target"]) for annotation in dashboard["annotations"]["list"]]
    for title, target in targets:
        query = re.sub(r"\$__(rate_interval|range)", "5m", target["expr"])
        try:
            promql_parser.parse(query)
        except ValueError as error:
            yield f"{title}: {query}: {error}"


def hide_annotation_queries(dashboard):
    """Takes out what a query to Prometheus has and Grafana's general annotation has not."""
    for annotation in dashboard["annotations"]["list"]:
        del annotation["titleFormat"], annotation["target"]


main()
