"""Proves an operator's faults: stores that lie, drip and refuse, stray keys, full disks, restarts, rollbacks under load.

Each case is a function of `cases` whose name says what is promised. Cases about stores run on each of them, behind a proxy that
injects faults. Nothing is weakened for a machine: what it cannot do is left out and named. The exit status is 1 if one case fails.
"""

import argparse
import fcntl
import importlib
import json
import pathlib
import shutil
import signal
import sys
import time
import traceback

from testbed.bed import Bed, Programs, Samples
from testbed.case import CASES, FOLDER, S3, Broken, LeftOut
from testbed.processes import Processes, end_on_signals
from testbed.stores import STORES

MODULES = [*(f"cases.{name}" for name in ("strays", "writes", "reads", "credentials", "restarts", "promotions", "folders", "scale",
                                          "signals", "rollbacks")), "day_in_the_life"]
HELD, FAILED, LEFT = "held", "FAILED", "left out"


def main():
    for module in MODULES:
        importlib.import_module(module)
    settings = read_arguments()
    chosen = [case for case in CASES if not settings.case or case.name in settings.case]
    if settings.list:
        # A reader such as `head` may end first.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        return list_cases(chosen)
    end_on_signals()
    lock = lock_folder(settings.target / "operations")
    proof = Proof(settings)
    try:
        proof.run(chosen)
    finally:
        proof.processes.stop_all()
        lock.close()
    proof.report()
    return sys.exit(1 if proof.has_failed() else 0)


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, default="target/release", help="the folder of the engine and the exporter")
    parser.add_argument("--target", type=pathlib.Path, default="target", help="the folder of the stores' programs, and for what is kept")
    parser.add_argument("--case", action="append", metavar="NAME", help="only this case")
    parser.add_argument("--store", action="append", choices=[FOLDER, *S3], help="only this store")
    parser.add_argument("--list", action="store_true", help="list the cases, what they promise and where they run")
    parser.add_argument("--output", choices=["text", "json"], default="text", help="output format of the result")
    parser.add_argument("--rounds", type=int, default=100, help="rollbacks while a challenger loads, on each store")
    parser.add_argument("--challenger-trees", type=int, default=945, help="trees of that challenger; 945 make 172 MB")
    parser.add_argument("--models", type=int, default=500, help="models under a limit of processes")
    parser.add_argument("--audit-files", type=int, default=10_000, help="audit files of an old repository")
    settings = parser.parse_args()
    for name in set(settings.case or ()) - {case.name for case in CASES}:
        parser.error(f"there is no case {name}: --list shows them")
    settings.target = settings.target.resolve()
    settings.work, settings.kept = settings.target / "operations/work", settings.target / "operations/kept"
    settings.programs = Programs(settings.programs)
    return settings


def lock_folder(folder):
    """Keeps a second proof from the folder of this one for as long as the file is open."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = open(folder / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SystemExit(f"another proof runs in {folder}") from None
    return lock


def list_cases(cases):
    for case in cases:
        why = case.missing()
        print(f"{case.name}\n    {case.promise}\n    {', '.join(case.stores)}{f' (left out: {why})' if why else ''}")


class Proof:
    """The cases as they run, and what came of each."""

    def __init__(self, settings):
        self.settings, self.processes, self.stores, self.results = settings, Processes(), {}, []

    def run(self, cases):
        shutil.rmtree(self.settings.work, ignore_errors=True)
        self.samples = Samples(self.settings, self.settings.work / "samples")
        planned = [(case, store) for case in cases for store in case.stores if not self.settings.store or store in self.settings.store]
        if not planned:
            raise SystemExit("no case runs on this store: see --list")
        self.samples.make()
        for case, store in planned:
            self.add(self.run_case(case, store))

    def run_case(self, case, store):
        """Runs one case on one store, and returns its result."""
        result = {"case": case.name, "store": store, "promise": case.promise, "seconds": 0.0}
        begun = time.monotonic()
        why = case.missing() or (STORES[store].missing(self.settings.target) if store != FOLDER else None)
        if why:
            return {**result, "outcome": LEFT, "why": [why]}
        folder = self.settings.work / f"{case.name}-{store}"
        with Bed(self.settings, self.processes, folder, self.started(store), self.samples) as bed:
            try:
                figures = case.function(bed)
            except LeftOut as left:
                return {**result, "outcome": LEFT, "why": [str(left)]}
            except Broken as broken:
                figures = None
                bed.broken.append(str(broken))
            except Exception:
                # A case that stumbles has not shown its promise; the others still run.
                figures = None
                bed.broken.append(traceback.format_exc(limit=-4))
        outcome = {"outcome": FAILED, "why": bed.broken} if bed.broken else {"outcome": HELD}
        return {**result, **outcome, "figures": figures or "", "seconds": round(time.monotonic() - begun, 1)}

    def started(self, name):
        if name == FOLDER:
            return None
        if name not in self.stores:
            store = STORES[name](self.processes, self.settings.work / f"store-{name}", self.settings.target)
            store.start()
            self.stores[name] = store
        return self.stores[name]

    def add(self, result):
        self.results.append(result)
        # The standard output belongs to the document alone.
        output = sys.stderr if self.settings.output == "json" else sys.stdout
        print(f"{result['outcome']:8}  {result['case']}, {result['store']}, {result['seconds']} s  {result.get('figures', '')}".rstrip(),
              file=output, flush=True)
        for why in result.get("why", ()):
            print("          " + why.replace("\n", "\n          "), file=output, flush=True)

    def has_failed(self):
        return any(result["outcome"] == FAILED for result in self.results)

    def report(self):
        counts = {outcome: sum(result["outcome"] == outcome for result in self.results) for outcome in (HELD, FAILED, LEFT)}
        if self.settings.output == "json":
            return print(json.dumps({"held": counts[HELD], "failed": counts[FAILED], "left_out": counts[LEFT], "cases": self.results},
                                    indent=2))
        return self.print_table(counts)

    def print_table(self, counts):
        """Prints a line for each case, with a column for each store."""
        stores = [store for store in (FOLDER, *S3) if any(result["store"] == store for result in self.results)]
        outcomes = {}
        for result in self.results:
            outcomes.setdefault(result["case"], {})[result["store"]] = result["outcome"]
        width = max(map(len, outcomes))
        print(f"\n{'case':{width}}  " + "  ".join(f"{store:9}" for store in stores))
        for name, of_stores in outcomes.items():
            print(f"{name:{width}}  " + "  ".join(f"{of_stores.get(store, '-'):9}" for store in stores))
        print("\n" + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
        for result in self.results:
            if result["outcome"] == LEFT:
                print(f"LEFT OUT: {result['case']} on {result['store']}, because {result['why'][0]}.")


if __name__ == "__main__":
    main()
