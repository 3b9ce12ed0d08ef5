"""Holds the registry of cases, the seeded tables, and what writes and reads a case."""

import json
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
import pandas as pd

ROWS = 24
TASKS = ("binary", "classes", "number", "several", "raw")
REGISTRY = {}


@dataclass
class Made:
    """Describes what a case made: the file, its rows, and what the library itself answers to them."""

    model: onnx.ModelProto
    feed: dict  # The name of an input, then an array with one entry a row.
    native: list | None = None  # One array an output, in the order of the outputs; None where there is none.
    labels: list | None = None
    positive: object = None
    library: str = ""
    note: str | None = None
    fixed_rows: int | None = None


def case(task, bad=None):
    """Registers a function that returns a `Made`; its docstring tells what the case is, and `bad` why it is bad."""

    def decorate(function):
        register(task, function.__name__, function.__doc__, function, bad)
        return function

    return decorate


def register(task, name, what, function, bad=None):
    """Registers a case that one expression makes."""
    assert task in TASKS and name not in REGISTRY, name
    REGISTRY[name] = (task, what, bad, function)


def library(name, converter=None):
    """Names a package with its version, and the converter with its own."""
    known = {"xgboost": "xgboost-cpu"}
    made = f"{name} {version(known.get(name, name))}"
    return f"{made} via {converter} {version(converter)}" if converter else made


def table(rows, seed):
    """Draws customers."""
    random = np.random.default_rng(seed)
    columns = {
        "tenure": random.integers(0, 73, rows),
        "monthly_charge": random.uniform(18, 120, rows).astype(np.float32),
        "calls": random.integers(0, 10, rows),
        "contract": random.choice(["monthly", "one year", "two years"], rows, p=[0.5, 0.3, 0.2]),
        "payment": random.choice(["card", "cash", "transfer", "check"], rows),
        "city": random.choice(["Riga", "Oslo", "Łódź", "São Paulo", "Bonn"], rows),
        "senior": random.uniform(size=rows) < 0.3,
        "signed_up": random.integers(1_400_000_000, 1_700_000_000, rows),
        "balance": random.integers(2**24, 2**27, rows) | 1,
    }
    odds = 0.06 * columns["tenure"] - 0.03 * columns["monthly_charge"] - 0.35 * columns["calls"]
    odds = odds + 1.2 * (columns["contract"] != "monthly") - 0.6 * columns["senior"] + 0.8
    columns["churn"] = (random.uniform(size=rows) < 1 / (1 + np.exp(odds))).astype(np.int64)
    columns["spend"] = columns["monthly_charge"] * (1 + 0.1 * columns["calls"]) + random.normal(scale=4, size=rows)
    columns["plan"] = np.array(["basic", "plus", "premium", "trial"])[
        np.digitize(columns["monthly_charge"] + random.normal(scale=15, size=rows), [45, 70, 95])
    ]
    frame = pd.DataFrame(columns)
    return frame.astype({name: object for name in ("contract", "payment", "city", "plan")})


def numbers(frame):
    """Returns a matrix of four columns: months, the charge, calls, and the balance in thousands."""
    columns = [frame["tenure"], frame["monthly_charge"], frame["calls"], frame["balance"] / 1e5]
    return np.column_stack(columns).astype(np.float32)


def with_gaps(matrix, seed, share=0.15):
    """Puts NaN into a share of the cells."""
    gaps = np.random.default_rng(seed).uniform(size=matrix.shape) < share
    return np.where(gaps, np.float32("nan"), matrix)


TRAIN, TEST = table(240, 1), table(ROWS, 2)
X, T = numbers(TRAIN), numbers(TEST)
X_GAPS, T_GAPS = with_gaps(X, 3), with_gaps(T, 4)
CHURN = TRAIN["churn"].to_numpy()
YES_NO = np.where(CHURN == 1, "yes", "no")
PLAN = TRAIN["plan"].to_numpy(str)
SPEND = TRAIN["spend"].to_numpy()


def plain(value):
    """Turns an answer into JSON's types: NaN becomes null, and what holds one value becomes that value."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.item() if value.shape in ((), (1,)) else value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and value != value else value


def one_entry(output):
    """Takes the only row out of an output."""
    if isinstance(output, list):
        return plain(output[0]) if isinstance(output[0], dict) else plain([one_entry(part) for part in output])
    return plain(output[0]) if output.ndim and output.shape[0] == 1 else plain(output)


def difference(left, right):
    """Returns the largest absolute difference of two answers; labels that differ count as 1."""
    if isinstance(left, dict):
        assert left.keys() == right.keys(), f"{left} has other keys than {right}"
        return max((difference(left[key], right[key]) for key in left), default=0.0)
    if isinstance(left, list):
        assert isinstance(right, list) and len(left) == len(right), f"{left} is of another form than {right}"[:300]
        return max((difference(a, b) for a, b in zip(left, right)), default=0.0)
    if isinstance(left, float) and isinstance(right, (int, float)):
        return abs(left - right)
    return float(left != right)


def size(value):
    """Returns the largest absolute number in an answer, or 1."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return max([1.0, *map(size, value)])
    return max(1.0, abs(value)) if isinstance(value, float) else 1.0


def open_session(model):
    """Opens a file in ONNX Runtime, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def signature(values):
    """Lists names, types and shapes; a size that may vary is null."""
    fixed = [[size if isinstance(size, int) else None for size in value.shape] for value in values]
    types = [value.type.removeprefix("tensor(").removesuffix(")") for value in values]
    types = [short if value.type.startswith("tensor(") else value.type for short, value in zip(types, values)]
    return [{"name": v.name, "type": t, "shape": shape} for v, t, shape in zip(values, types, fixed)]


def row_feed(inputs, feed, at):
    """Returns what scores one row: an input without dimensions takes its value alone."""
    return {i.name: feed[i.name][at] if i.shape == [] else feed[i.name][at : at + 1] for i in inputs}


def run_rows(session, feed):
    """Scores row by row; returns one list of answers an output."""
    answers = [session.run(None, as_arrays(row_feed(session.get_inputs(), feed, at))) for at in range(ROWS)]
    return [[one_entry(answer[place]) for answer in answers] for place in range(len(session.get_outputs()))]


def as_arrays(feed):
    """Makes arrays of what may be numpy's scalars."""
    return {name: np.asarray(value) for name, value in feed.items()}


def run_batch(session, feed):
    """Scores all rows at once, or at once those that share what an input without dimensions holds."""
    inputs = session.get_inputs()
    alone = [i.name for i in inputs if i.shape == []]
    keys = [tuple(feed[name][at].item() for name in alone) for at in range(ROWS)]
    answers = [[None] * ROWS for _ in session.get_outputs()]
    for key in sorted(set(keys)):
        places = [at for at in range(ROWS) if keys[at] == key]
        rows = {i.name: feed[i.name][places[0]] if i.name in alone else feed[i.name][places] for i in inputs}
        for place, output in enumerate(session.run(None, as_arrays(rows))):
            if isinstance(output, list) and not isinstance(output[0], dict):
                output = list(zip(*output))
            for entry, at in zip(output, places):
                answers[place][at] = plain(entry)
    return answers


def clean(model, name):
    """Removes doc strings and the random names that converters give to graphs."""
    model.doc_string = model.graph.doc_string = ""
    if len(model.graph.name) >= 32 or not model.graph.name:
        model.graph.name = name
    for node in model.graph.node:
        node.doc_string = ""


def operators(graph):
    """Collects the operators of a graph and of the graphs in it, each with its domain."""
    found = set()
    for node in graph.node:
        found.add(f"{node.domain or 'ai.onnx'}:{node.op_type}")
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                found |= operators(inner)
    return found


def about(made):
    """Describes the file itself."""
    graphs = [made.model.graph, *made.model.functions]
    return {
        "operators": sorted(set().union(*map(operators, graphs))),
        "opsets": {entry.domain or "ai.onnx": entry.version for entry in made.model.opset_import},
        "ir_version": made.model.ir_version,
    }


def opened(made):
    """Describes the inputs and the outputs of a bad file, or says why ONNX Runtime does not open it."""
    try:
        session = open_session(made.model)
    except Exception as error:  # Its classes have no common base of their own.
        return {"inputs": None, "outputs": None, "error": " ".join(str(error).split())[:300]}
    return {"inputs": signature(session.get_inputs()), "outputs": signature(session.get_outputs())}


def answers(name, made):
    """Describes what a file takes and answers, beside what the library answers."""
    session = open_session(made.model)
    outputs = signature(session.get_outputs())
    names = [output["name"] for output in outputs]
    expected, native, to_native, to_batch = run_rows(session, made.feed), None, None, None
    if made.native:
        native = [output if output is None else [plain(entry) for entry in output] for output in made.native]
        assert len(native) == len(expected), f"{name}: {len(native)} answers to {len(expected)} outputs"
        to_native = max(difference(a, b) for a, b in zip(expected, native) if b is not None)
    if not made.fixed_rows:
        to_batch = difference(expected, run_batch(session, made.feed))
        assert to_batch <= 1e-6 * size(expected), f"{name}: a batch differs from its rows by {to_batch}"
    return {
        "inputs": signature(session.get_inputs()),
        "outputs": outputs,
        "expected": dict(zip(names, expected)),
        "native": native and dict(zip(names, native)),
        "native_difference": to_native,
        "batch_difference": to_batch,
    }


def make(name):
    """Makes a case; returns its file and its description."""
    task, what, bad, function = REGISTRY[name]
    made = function()
    clean(made.model, name)
    described = {"name": name, "library": made.library, "task": task, "what": what}
    found = opened(made) if bad else answers(name, made)
    note = made.note
    if not note and (found.get("native_difference") or 0) > 1e-4 * size(found.get("expected")):
        note = "the file answers otherwise than the library"
    optional = {"why": bad, "note": note, "fixed_rows": made.fixed_rows}
    described |= {key: value for key, value in optional.items() if value} | {"inputs": found.pop("inputs")}
    described |= {"outputs": found.pop("outputs")}
    described["rows"] = [{key: plain(values[at]) for key, values in made.feed.items()} for at in range(ROWS)]
    described |= found | {"labels": plain(made.labels), "positive": plain(made.positive)} | about(made)
    return made.model, described


def as_text(described):
    """Writes a description: a line for each row and for each answer."""

    def lines(value, depth):
        pad = "\n" + " " * depth
        if isinstance(value, dict) and depth < 2 and len(json.dumps(value)) > 110:
            inner = [f"{pad}{json.dumps(k, ensure_ascii=False)}: {lines(v, depth + 1)}" for k, v in value.items()]
            return "{" + ",".join(inner) + pad[:-1] + "}"
        if isinstance(value, list) and depth < 3 and len(value) == ROWS:
            return "[" + ",".join(pad + lines(item, 9) for item in value) + pad[:-1] + "]"
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    return lines(described, 1) + "\n"
