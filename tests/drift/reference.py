"""Computes the drift statistics with scipy, for the engine's tests to be held against.

    python -m venv /tmp/scipy && /tmp/scipy/bin/pip install -r tests/drift/requirements.txt
    /tmp/scipy/bin/python tests/drift/reference.py > tests/drift/reference.json

Each case is a histogram in training, the same of live rows, and how many of the bins are of values (the others count
missing and unknown ones). The cases are drawn with a fixed seed; nothing here is taken from the engine.
"""

import json

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr
from scipy.stats import chi2_contingency, fisher_exact


def psi(training, live):
    """The sum of both Kullback-Leibler divergences, with half a row added to each bin that either side has seen."""
    seen = training + live > 0
    p, q = ((counts[seen] + 0.5) / (counts[seen] + 0.5).sum() for counts in (live, training))
    return rel_entr(p, q).sum() + rel_entr(q, p).sum()


def p_value(training, live, values):
    """The engine's rule for sparse bins, with scipy's tests."""
    n, m = training.sum(), live.sum()
    sparse = (training + live) * min(n, m) / (n + m) < 5
    is_value = np.arange(len(training)) < values
    seen = training + live > 0
    table = np.array([training, live])
    dense = [table[:, i] for i in np.flatnonzero(seen & ~sparse)]
    alone = [table[:, i] for i in np.flatnonzero(seen & sparse & ~is_value)]
    merged = table[:, seen & sparse & is_value].sum(axis=1)
    if merged.sum() > 0:
        (alone if merged.sum() * min(n, m) / (n + m) < 5 else dense).append(merged)
    tests = [fisher_exact(np.array([column, [n, m] - column]).T).pvalue for column in alone]
    dense = np.array(dense).T
    if dense.size and dense.shape[1] > 1 and (dense.sum(axis=1) > 0).all():
        tests.append(chi2_contingency(dense, correction=False).pvalue)
    return min(1.0, min(tests, default=1.0) * max(len(tests), 1))


def case(training, live, values):
    training, live = np.asarray(training), np.asarray(live)
    seen = training + live > 0
    return {
        "training": training.tolist(),
        "live": live.tolist(),
        "values": values,
        "psi": psi(training, live),
        "js_distance": float(jensenshannon(training, live, base=2)),
        # Pearson's test as it is, whatever the expected counts.
        "chi2": float(chi2_contingency(np.array([training, live])[:, seen], correction=False).pvalue)
        if seen.sum() > 1
        else None,
        "p_value": float(p_value(training, live, values)),
    }


def cases():
    random = np.random.default_rng(5)
    for values in (2, 3, 4, 10, 20):
        for rows in (500, 1000, 10_000, 1_000_000):
            for drift in (0.0, 0.1, 1.0):
                shares = random.dirichlet(np.full(values + 2, 0.7))
                shares[values] *= 0.02
                shares[values + 1] *= random.choice([0.0, 0.002])
                other = random.dirichlet(np.full(values + 2, 0.7))
                mixed = (1 - drift) * shares / shares.sum() + drift * other
                training = random.multinomial(random.choice([200, 5634, 100_000]), shares / shares.sum())
                yield case(training, random.multinomial(rows, mixed), values)
    # A value that training has never seen, in few and in many rows.
    yield case([5000, 600, 0, 0], [440, 55, 0, 5], 2)
    yield case([5000, 600, 0, 0], [50_000, 6000, 0, 1000], 2)
    # Nothing in common, and nothing changed.
    yield case([100, 0, 0], [0, 300, 0], 2)
    yield case([70, 30, 5], [700, 300, 50], 2)
    # One bin only.
    yield case([100, 0], [50, 0], 1)
    # Many rare values.
    yield case([500, *[3] * 40, 0, 0], [450, *[1, 2] * 20, 1, 0], 41)


print("[\n" + ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases()) + "\n]")
