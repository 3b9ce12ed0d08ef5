"""Rollbacks to a version that is warm, whatever else loads."""

import concurrent.futures
import json
import statistics
import time

from testbed.case import CONDITIONAL, FOLDER, case
from testbed.processes import wait_until
from testbed.proxy import Drip

# The one that sees it, and one that may begin before the swap is seen here.
LOOKS = 2
# What a rollback may take where nobody counts looks, on a busy machine.
SECONDS = 5


@case(stores=(FOLDER, *CONDITIONAL))
def a_rollback_to_a_warm_version_takes_one_look_whatever_loads(bed):
    """While a challenger of 172 MB loads, or one whose download drips, a rollback is served within one look, 100 times, under load."""
    bed.publish("logistic", "churn", "--alias", "champion")
    bed.publish("forest")
    challengers = {3: "a large challenger"}
    bed.publish(bed.samples.challenger(), seconds=900)
    proxy = None
    if bed.store is not None:
        bed.publish("retrained")
        challengers[4] = "a dripping download"
        proxy = bed.proxy()
        proxy.set(Drip("GET .*/churn/4/model.onnx"))
    # A store that sends a large file may be slow to list, and a download that drips is not to end by itself.
    engine = bed.engine(store_timeout_ms=20_000)
    load = engine.load(clients=2)
    by_look, by_reload, answered, looks = [], [], [], []
    pool = bed.stack.enter_context(concurrent.futures.ThreadPoolExecutor(1))
    for number in range(bed.settings.rounds):
        challenger = sorted(challengers)[number % len(challengers)]
        is_nudged = number % 4 >= 2
        bed.export("promote", "churn", "2")
        bed.require(engine.serves(2), f"round {number}: version 2 is not served: {engine.failed()}")
        bed.export("alias", "set", "churn", "challenger", challenger)
        bed.require(loads(engine, challenger), f"round {number}: {challengers[challenger]} is not loaded: {challenger_state(engine)}")
        bed.export("rollback", "churn")
        moved = time.monotonic()
        reload = pool.submit(engine.reload) if is_nudged else None
        bed.require(engine.serves(1, seconds=30), f"round {number}: {challengers[challenger]} delays the rollback: {engine.served()}")
        (by_reload if is_nudged else by_look).append(time.monotonic() - moved)
        if reload:
            bed.expect(reload.result()[0] == 200, f"round {number}: a reload answers {reload.result()}")
            answered.append(time.monotonic() - moved)
        elif proxy:
            looks.append(len(proxy.listings(since=moved)))
        bed.export("alias", "delete", "churn", "challenger")
    load.end()
    bed.expect(not load.failures, f"{len(load.failures)} of {load.answers} requests failed: {load.failures[:3]}")
    bed.expect(set(load.versions) <= {"1", "2"}, f"answers by {dict(load.versions)}")
    bed.expect(not looks or max(looks) <= LOOKS, f"{max(looks, default=0)} looks until a rollback is served")
    slowest = max(by_reload + ([] if looks else by_look), default=0)
    bed.expect(slowest <= SECONDS, f"a rollback took {slowest:.2f} s")
    most = f", at most {max(looks)} looks" if looks else ""
    return (f"{bed.settings.rounds} rollbacks, by a look {described(by_look)}{most}, by a reload {described(by_reload)}, "
            f"which answers after {described(answered)}; {load.answers} requests, {len(load.failures)} failed")


def described(seconds):
    return f"median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s" if seconds else "none"


def challenger_state(engine):
    return json.loads(engine.get("/models/churn")[1])


def loads(engine, version):
    """Waits until a version is being loaded."""
    return wait_until(lambda: (challenger_state(engine)["loading"] or {}).get("version") == version, 20)
