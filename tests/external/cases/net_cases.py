"""Makes nets by hand: graphs as exporters of PyTorch and of Keras write them, and what other tools make of them."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper, parser
from onnx.reference import ReferenceEvaluator
from onnxruntime import quantization

from .common import ROWS, TEST, Made, T, as_arrays, case, library, one_entry, register, with_gaps

F = (T / np.float32([72, 120, 10, 1000])).astype(np.float32)
HISTORY = np.random.default_rng(8).normal(size=(ROWS, 5, 3)).astype(np.float32)
CITIES, CONTRACTS = ["Bonn", "Oslo", "Riga", "São Paulo", "Łódź"], ["monthly", "one year", "two years"]
CITY, CONTRACT = (np.searchsorted(known, TEST[name]) for known, name in ((CITIES, "city"), (CONTRACTS, "contract")))
HEAD = '<ir_version: {ir}, opset_import: ["": {opset}, "com.microsoft": 1, "local": 1]>\nmain_graph '


def weights(seed, **shapes):
    """Draws weights of the given shapes, smaller where more of them are summed."""
    random = np.random.default_rng(seed)
    drawn = {name: random.normal(scale=1.5 / np.sqrt(shape[-1] or 1), size=shape) for name, shape in shapes.items()}
    return {name: value.astype(np.float32) for name, value in drawn.items()}


def graph(text, tensors, opset=17, ir=8, producer="pytorch"):
    """Parses a graph, gives it its weights, and drops the domains that it does not use."""
    model = parser.parse_model(HEAD.format(ir=ir, opset=opset) + text)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in tensors.items())
    used = [entry for entry in model.opset_import if not entry.domain or f"{entry.domain}." in text]
    del model.opset_import[:]
    model.opset_import.extend(used)
    model.producer_name = producer
    return model


def reference(model, feed):
    """Answers row by row with the reference implementation of the onnx package."""
    evaluator = ReferenceEvaluator(model)
    scalars = {i.name for i in model.graph.input if not i.type.tensor_type.shape.dim}
    rows = [{k: v[at] if k in scalars else v[at : at + 1] for k, v in feed.items()} for at in range(ROWS)]
    answers = [[one_entry(np.asarray(output)) for output in evaluator.run(None, as_arrays(row))] for row in rows]
    return [list(output) for output in zip(*answers)]


def net(text, tensors, feed=None, by_reference=True, opset=17, ir=8, producer="pytorch", **more):
    """Makes a net; `native` holds the answers of the onnx package's reference implementation."""
    return described(graph(text, tensors, opset, ir, producer), feed or {"input": F}, by_reference, **more)


def described(model, feed, by_reference=True, native=None, made_by=None, **more):
    """Describes a net that is already made."""
    name = library("onnx") + (made_by or f", a graph such as {model.producer_name} writes")
    return Made(model, feed, reference(model, feed) if by_reference else native, library=name, **more)


DENSE = {"fc1.weight": (6, 4), "fc1.bias": (6,), "fc2.weight": (1, 6), "fc2.bias": (1,)}
LOGITS = """(float[batch, 4] input) => (float[batch, 1] output) {
    "/fc1/Gemm_output_0" = Gemm<transB=1>(input, "fc1.weight", "fc1.bias")
    "/Relu_output_0" = Relu("/fc1/Gemm_output_0")
    output = Gemm<transB=1>("/Relu_output_0", "fc2.weight", "fc2.bias") }"""
SIGMOID = LOGITS.replace("output = Gemm", "logit = Gemm").replace(" }", "\n    output = Sigmoid(logit) }")


@case("binary")
def net_sigmoid_flat():
    """Scores churn by a net whose output is a vector."""
    text = SIGMOID.replace("batch, 1] output", "batch] output").replace("output = Sigmoid(logit)", """
        flat = Squeeze(logit, last)
        output = Sigmoid(flat)""")
    return net(text, {**weights(2, **DENSE), "last": np.int64([-1])})


@case("classes")
def net_softmax_keras():
    """Names a plan by a net of Keras, with names that hold slashes and colons."""
    text = """(float[unk__6, 4] "dense_input:0") => (float[unk__7, 4] "Identity:0") {
        "sequential/dense/MatMul:0" = MatMul("dense_input:0", "sequential/dense/kernel:0")
        "sequential/dense/BiasAdd:0" = Add("sequential/dense/MatMul:0", "sequential/dense/bias:0")
        "sequential/dense/Relu:0" = Relu("sequential/dense/BiasAdd:0")
        "sequential/dense_1/MatMul:0" = MatMul("sequential/dense/Relu:0", "sequential/dense_1/kernel:0")
        "Identity:0" = Softmax<axis=1>("sequential/dense_1/MatMul:0") }"""
    shapes = {"dense/kernel:0": (4, 6), "dense/bias:0": (6,), "dense_1/kernel:0": (6, 4)}
    tensors = weights(5, **{f"sequential/{name}": shape for name, shape in shapes.items()})
    return net(text, tensors, {"dense_input:0": F}, opset=13, ir=7, producer="tf2onnx")


@case("binary")
def net_embeddings():
    """Scores churn from two codes, each a vector of int64, and a matrix of numbers."""
    text = """(int64[N] city, int64[N] contract, float[N, 2] numbers) => (float[N] probability) {
        c = Gather(cities, city)
        k = Gather(contracts, contract)
        x = Concat<axis=1>(c, k, numbers)
        y = Gemm<transB=1>(x, w, b)
        flat = Squeeze(y, last)
        probability = Sigmoid(flat) }"""
    tensors = weights(10, cities=(5, 3), contracts=(3, 2), w=(1, 7), b=(1,))
    feed = {"city": CITY, "contract": CONTRACT, "numbers": F[:, :2]}
    return net(text, {**tensors, "last": np.int64([1])}, feed)


@case("number")
def net_embeddings_int32():
    """Estimates spend from codes of int32 as Keras gives them, a column each."""
    text = """(int32[unk__1, 1] city, float[unk__2, 1] charge) => (float[unk__3, 1] spend) {
        e = Gather(table, city)
        flat = Reshape(e, shape)
        x = Concat<axis=-1>(flat, charge)
        y = MatMul(x, kernel)
        spend = Add(y, bias) }"""
    tensors = {**weights(11, table=(5, 3), kernel=(4, 1), bias=(1,)), "shape": np.int64([-1, 3])}
    feed = {"city": CITY.astype(np.int32)[:, None], "charge": F[:, 1:2]}
    return net(text, tensors, feed, opset=12, ir=7, producer="tf2onnx")


@case("binary")
def net_lstm():
    """Scores churn from a history by an LSTM whose first state is made in the graph."""
    text = """(float[batch, time, 3] history) => (float[batch, 1] output) {
        shape = Shape(history)
        n = Gather(shape, zero)
        size = Concat<axis=0>(one, n, hidden)
        start = ConstantOfShape<value = float[1] {0}>(size)
        x = Transpose<perm=[1, 0, 2]>(history)
        all, last, cell = LSTM<hidden_size=4>(x, w, r, b, , start, start)
        h = Squeeze(last, zero)
        y = Gemm<transB=1>(h, fc, fb)
        output = Sigmoid(y) }"""
    tensors = weights(13, w=(1, 16, 3), r=(1, 16, 4), b=(1, 32), fc=(1, 4), fb=(1,))
    sizes = {"zero": np.int64([0]), "one": np.int64([1]), "hidden": np.int64([4])}
    return net(text, {**tensors, **sizes}, {"history": HISTORY})


@case("number")
def net_gru():
    """Estimates spend from a history of five months by a GRU of Keras."""
    text = """(float[N, 5, 3] history) => (float[N, 1] spend) {
        x = Transpose<perm=[1, 0, 2]>(history)
        all, last = GRU<hidden_size=4, linear_before_reset=1>(x, w, r, b)
        h = Squeeze<axes=[0]>(last)
        y = MatMul(h, kernel)
        spend = Add(y, bias) }"""
    tensors = weights(14, w=(1, 12, 3), r=(1, 12, 4), b=(1, 24), kernel=(4, 1), bias=(1,))
    return net(text, tensors, {"history": HISTORY}, opset=11, ir=6, producer="tf2onnx")


@case("number")
def net_fixed_reshape():
    """Estimates spend in a file whose rows may vary by name only: a reshape inside takes one row."""
    text = """(float[batch, 4] input) => (float[1, 1] output) {
        f = Reshape(input, shape)
        output = Gemm<transB=1>(f, w, b) }"""
    return net(text, {**weights(23, w=(1, 4), b=(1,)), "shape": np.int64([1, 4])}, fixed_rows=1)


@case("binary")
def net_half():
    """Scores churn in half precision, from input to output."""
    text = """(float16[N, 4] input) => (float16[N, 1] output) {
        y = Gemm<transB=1>(input, w, b)
        output = Sigmoid(y) }"""
    tensors = {name: value.astype(np.float16) for name, value in weights(24, w=(1, 4), b=(1,)).items()}
    return net(text, tensors, {"input": F.astype(np.float16)}, note="half precision: 1e-3 is all that may be expected")


@case("number")
def net_double():
    """Estimates spend in doubles, from unix seconds and balances beyond what a float holds."""
    text = """(double[N] signed_up, double[N] balance) => (double[N] spend) {
        s = Sub(signed_up, origin)
        a = Mul(s, per_second)
        b = Mul(balance, per_cent)
        spend = Add(a, b) }"""
    tensors = {"origin": np.float64(1_400_000_001), "per_second": np.float64(1e-3), "per_cent": np.float64(1e-2)}
    feed = {name: TEST[name].to_numpy(np.float64) for name in ("signed_up", "balance")}
    return net(text, tensors, feed)


@case("number")
def net_int64_sum():
    """Adds up integers beyond what a float holds, and answers an integer."""
    text = "(int64[N, 1] signed_up, int64[N, 1] balance) => (int64[N, 1] total) { total = Add(signed_up, balance) }"
    return net(text, {}, {name: TEST[[name]].to_numpy() for name in ("signed_up", "balance")})


@case("binary")
def net_flags():
    """Scores churn from booleans beside numbers, and says whether to call as a boolean."""
    text = """(bool[N, 3] flags, float[N, 4] input) => (float[N, 1] probability, bool[N, 1] call) {
        f = Cast<to=1>(flags)
        x = Concat<axis=1>(f, input)
        y = Gemm<transB=1>(x, w, b)
        probability = Sigmoid(y)
        call = Greater(probability, half) }"""
    flags = np.column_stack([TEST["senior"], F[:, 0] > 0.5, F[:, 2] > 0.3])
    return net(text, {**weights(25, w=(1, 7), b=(1,)), "half": np.float32([0.5])}, {"flags": flags, "input": F})


@case("number")
def net_bytes():
    """Estimates spend from bytes, of which one has a zero point."""
    text = """(uint8[N, 2] counts, int8[N] change) => (float[N, 1] spend) {
        c = Cast<to=1>(counts)
        d = DequantizeLinear(change, scale, point)
        e = Unsqueeze(d, last)
        x = Concat<axis=1>(c, e)
        spend = Gemm<transB=1>(x, w, b) }"""
    tensors = {"scale": np.float32(0.1), "point": np.int8(-3), "last": np.int64([1])}
    feed = {"counts": T[:, [0, 2]].astype(np.uint8), "change": (T[:, 0] - 90).astype(np.int8)}
    return net(text, {**weights(26, w=(1, 3), b=(1,)), **tensors}, feed, opset=19, ir=9)


@case("classes")
def net_words():
    """Turns words into codes and names a plan in words, with the LabelEncoder of ai.onnx.ml."""
    text = """(string[N] city, string[N] contract) => (string[N] plan, float[N, 3] probabilities) {
        c = ai.onnx.ml.LabelEncoder<keys_strings=["Bonn", "Oslo", "Riga"], values_int64s=[1, 2, 3]>(city)
        k = ai.onnx.ml.LabelEncoder<keys_strings=["one year", "two years"], values_int64s=[1, 2]>(contract)
        known = Max(c, zero)
        ce = Gather(cities, known)
        k0 = Max(k, zero)
        ke = Gather(contracts, k0)
        x = Concat<axis=1>(ce, ke)
        y = Gemm<transB=1>(x, w, b)
        probabilities = Softmax<axis=1>(y)
        best = ArgMax<axis=1, keepdims=0>(probabilities)
        plan = ai.onnx.ml.LabelEncoder<keys_int64s=[0, 1, 2], values_strings=["basic", "plus", "premium"]>(best) }"""
    tensors = {**weights(27, cities=(5, 3), contracts=(3, 2), w=(3, 5), b=(3,)), "zero": np.int64([0])}
    feed = {name: TEST[name].to_numpy(object) for name in ("city", "contract")}
    model = graph(text, tensors)
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))
    return described(model, feed, labels=["basic", "plus", "premium"])


@case("number")
def net_named_columns():
    """Estimates spend from columns whose names hold spaces, dots, brackets and letters beyond ASCII."""
    names = ["Monthly charge (€)", "tenure.months", "№ calls"]
    inputs = ", ".join(f'float[N, 1] "{name}"' for name in names)
    joined = ", ".join(f'"{name}"' for name in names)
    text = f"""({inputs}) => (float[N, 1] "expected spend, €") {{
        x = Concat<axis=1>({joined})
        "expected spend, €" = Gemm<transB=1>(x, w, b) }}"""
    return net(text, weights(28, w=(1, 3), b=(1,)), {name: F[:, at : at + 1] for at, name in enumerate(names)})


@case("binary")
def net_default_input():
    """Scores churn with a threshold that is an input with a default, and passes a number through."""
    text = """(int64[N] customer, float[N, 4] input, float[1] threshold, float[N] unused)
        => (int64[N] id, float[N, 1] probability, int64[N, 1] decision) {
        id = Identity(customer)
        y = Gemm<transB=1>(input, w, b)
        probability = Sigmoid(y)
        d = Greater(probability, threshold)
        decision = Cast<to=7>(d) }"""
    feed = {"customer": np.arange(ROWS) + 2**40, "input": F, "unused": F[:, 0]}
    note = "`threshold` has a default and need not be given; `unused` changes nothing"
    return net(text, {**weights(29, w=(1, 4), b=(1,)), "threshold": np.float32([0.4])}, feed, note=note)


@case("number")
def net_functions():
    """Estimates spend by local functions, one within another."""
    text = """(float[N, 4] input) => (float[N, 1] spend) {
        h = local.dense(input, w1, b1)
        s = local.swish(h)
        spend = local.dense(s, w2, b2) }
    <domain: "local", opset_import: ["": 17]> dense (x, w, b) => (y) { y = Gemm<transB=1>(x, w, b) }
    <domain: "local", opset_import: ["": 17]> gate (x) => (y) { y = Sigmoid(x) }
    <domain: "local", opset_import: ["": 17, "local": 1]> swish (x) => (y) { g = local.gate(x) y = Mul(x, g) }"""
    return net(text, weights(32, w1=(6, 4), b1=(6,), w2=(1, 6), b2=(1,)))


@case("number")
def net_loop():
    """Estimates spend by a loop that takes three steps."""
    text = """(float[N, 4] input) => (float[N, 4] last, float[N, 1] spend) {
        last = Loop(steps, yes, input) <body = step (int64 i, bool go, float[N, 4] x) => (bool on, float[N, 4] z) {
            on = Identity(go)
            y = MatMul(x, w)
            z = Tanh(y) }>
        spend = Gemm<transB=1>(last, fc, fb) }"""
    tensors = {**weights(34, w=(4, 4), fc=(1, 4), fb=(1,)), "steps": np.int64(3), "yes": np.bool_(True)}
    return net(text, {name: np.asarray(value) for name, value in tensors.items()})


@case("number")
def net_log_of_gaps():
    """Estimates spend by a logarithm, which is NaN for some rows, and from a column with gaps."""
    text = """(float[N, 1] change, float[N, 1] charge) => (float[N, 1] spend) {
        l = Log(change)
        spend = Add(l, charge) }"""
    feed = {"change": F[:, :1] - np.float32(0.4), "charge": with_gaps(F[:, 1:2], 9)}
    return net(text, {}, feed, note="the answer to some rows is NaN")


@case("binary")
def net_optimized():
    """Scores churn in a file that ONNX Runtime has optimized and saved."""
    model, options = graph(SIGMOID, weights(37, **DENSE)), onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "model.onnx")
        options.log_severity_level = 3
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        optimized = onnx.load(options.optimized_model_filepath)
    made_by, native = f", optimized by {library('onnxruntime')}", reference(model, {"input": F})
    return described(optimized, {"input": F}, by_reference=False, native=native, made_by=made_by)


class Rows(quantization.CalibrationDataReader):
    """Feeds rows to the calibration."""

    def __init__(self):
        self.rows = iter([{"input": F[at : at + 1]} for at in range(ROWS)])

    def get_next(self):
        """Returns the next row."""
        return next(self.rows, None)


def quantized(quantize, seed):
    """Quantizes a net; `native` holds the answers of the net before."""
    model = graph(LOGITS.replace("transB=1", "transB=1, alpha=1.0"), weights(seed, **DENSE))
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "float.onnx", Path(folder) / "model.onnx"
        onnx.save(model, before)
        quantize(before, after)
        small = onnx.load(after)
    note = "logits; the library's answers are those of the net before it was quantized"
    made_by, native = f", quantized by {library('onnxruntime')}", reference(model, {"input": F})
    return described(small, {"input": F}, by_reference=False, native=native, made_by=made_by, note=note)


@case("binary")
def net_quantized_weights():
    """Scores churn with weights of int8, one scale a row."""
    text = """(float[N, 4] input) => (float[N, 1] output) {
        w = DequantizeLinear<axis=0>(small, scales, points)
        h = Gemm<transB=1>(input, w, b)
        r = Relu(h)
        y = Gemm<transB=1>(r, fc, fb)
        output = Sigmoid(y) }"""
    random = np.random.default_rng(44)
    small, scales = random.integers(-128, 128, (6, 4)).astype(np.int8), random.uniform(0.01, 0.02, 6).astype(np.float32)
    tensors = {"small": small, "scales": scales, "points": np.zeros(6, np.int8)}
    return net(text, {**weights(44, b=(6,), fc=(1, 6), fb=(1,)), **tensors}, opset=19, ir=9)


@case("binary", bad="the scale of int8 is found over the batch, so the answer to a row depends on the others")
def net_quantized_dynamic():
    """Scores churn in int8 by ONNX Runtime's dynamic quantization."""
    return quantized(quantization.quantize_dynamic, 39)


@case("binary", bad="dropout still drops, so the same row gets another answer each time")
def net_training_dropout():
    """Scores churn in a file exported in training mode."""
    text = """(float[N, 4] input) => (float[N, 1] output) {
        x = Gemm<transB=1>(input, w, b)
        d = Dropout(x, ratio, training)
        y = Gemm<transB=1>(d, fc, fb)
        output = Sigmoid(y) }"""
    tensors = {**weights(40, w=(8, 4), b=(8,), fc=(1, 8), fb=(1,)), "ratio": np.array(0.5, np.float32)}
    return net(text, {**tensors, "training": np.array(True)}, by_reference=False)


@case("binary", bad="a batch is normalised by its own mean, so the answer to a row depends on the others")
def net_batch_mean():
    """Scores churn after normalising over the batch."""
    text = """(float[N, 4] input) => (float[N, 1] output) {
        m = ReduceMean<axes=[0], keepdims=1>(input)
        c = Sub(input, m)
        y = Gemm<transB=1>(c, w, b)
        output = Sigmoid(y) }"""
    return net(text, weights(41, w=(1, 4), b=(1,)))


@case("binary", bad="batch normalisation is in training mode, so the answer to a row depends on the others")
def net_training_batch_norm():
    """Scores churn after batch normalisation exported in training mode."""
    text = """(float[N, 4] input) => (float[N, 1] output) {
        n, m, v = BatchNormalization<training_mode=1>(input, scale, shift, mean, var)
        y = Gemm<transB=1>(n, w, b)
        output = Sigmoid(y) }"""
    tensors = weights(42, scale=(4,), shift=(4,), mean=(4,), w=(1, 4), b=(1,))
    return net(text, {**tensors, "var": np.ones(4, np.float32)}, by_reference=False)


@case("number", bad="noise is added, so the same row gets another answer each time")
def net_noise():
    """Estimates spend with noise."""
    text = """(float[N, 4] input) => (float[N, 4] output) {
        n = RandomNormalLike<scale=0.1>(input)
        output = Add(input, n) }"""
    return net(text, {}, by_reference=False)


@case("number", bad="the file takes eight rows, neither fewer nor more")
def net_fixed_eight():
    """Estimates spend in a file exported for a batch of eight."""
    text = "(float[8, 4] input) => (float[8, 1] output) { output = Gemm<transB=1>(input, w, b) }"
    return net(text, weights(43, w=(1, 4), b=(1,)), by_reference=False)


PLAIN = [
    ("binary", "net_sigmoid", "Scores churn by a net that ends in a sigmoid.",
        lambda: net(SIGMOID, weights(1, **DENSE))),
    ("binary", "net_logits", "Scores churn by a net that ends in one logit.",
        lambda: net(LOGITS, weights(3, **DENSE), note="the output holds logits")),
    ("binary", "net_log_softmax", "Scores churn by a net that ends in the logarithms of two probabilities.",
        lambda: net("""
        (float[batch, 4] input) => (float[batch, 2] output) {
            x = Gemm<transB=1>(input, w, b)  output = LogSoftmax<axis=1>(x) }""",
        weights(4, w=(2, 4), b=(2,)), note="the output holds logarithms")),
    ("classes", "net_logits_classes", "Names one of five actions by logits.",
        lambda: net("(float[N, 4] input) => (float[N, 5] logits) { logits = Gemm<transB=1>(input, w, b) }",
            weights(6, w=(5, 4), b=(5,)), note="the output holds logits")),
    ("several", "net_two_heads", "Scores churn and estimates spend by two heads of one net.", lambda: net("""
        (float[batch, 4] input) => (float[batch, 1] churn, float[batch, 1] spend) {
            x = Gemm<transB=1>(input, w, b)  h = Tanh(x)  c = Gemm<transB=1>(h, wc, bc)  churn = Sigmoid(c)
            spend = Gemm<transB=1>(h, ws, bs) }""",
        weights(7, w=(6, 4), b=(6,), wc=(1, 6), bc=(1,), ws=(1, 6), bs=(1,)))),
    ("several", "net_multi_label", "Scores five marks that may apply together.", lambda: net("""
        (float[batch, 4] input) => (float[batch, 5] marks) {
            x = Gemm<transB=1>(input, w, b)  marks = Sigmoid(x) }""",
        weights(8, w=(5, 4), b=(5,)))),
    ("several", "net_quantiles", "Estimates three quantiles of spend.", lambda: net("""
        (float[batch, 4] input) => (float[batch, 3] quantiles) {
            x = Gemm<transB=1>(input, w, b)  steps = Softplus(x)  quantiles = CumSum(steps, axis) }""",
        {**weights(9, w=(3, 4), b=(3,)), "axis": np.int64(1)})),
    ("raw", "net_two_towers", "Rates an offer for a customer by the product of two embeddings.", lambda: net("""
        (int64[N] user, int64[N] item) => (float[N] affinity) {
            u = Gather(users, user)  i = Gather(items, item)  affinity = Einsum<equation="nd,nd->n">(u, i) }""",
        weights(12, users=(40, 4), items=(9, 4)), {"user": np.arange(ROWS), "item": np.arange(ROWS) % 9})),
    ("classes", "net_convolution", "Names a pattern in a history by a convolution over time.", lambda: net("""
        (float[batch, 5, 3] history) => (float[batch, 3] output) {
            x = Transpose<perm=[0, 2, 1]>(history)  c = Conv<kernel_shape=[3], pads=[1, 1]>(x, w, b)  r = Relu(c)
            p = GlobalAveragePool(r)  f = Flatten(p)  y = Gemm<transB=1>(f, fc, fb)  output = Softmax<axis=1>(y) }""",
        weights(15, w=(4, 3, 3), b=(4,), fc=(3, 4), fb=(3,)), {"history": HISTORY})),
    ("raw", "net_autoencoder", "Rebuilds a row and tells the error, for anomalies.", lambda: net("""
        (float[batch, 4] input) => (float[batch, 4] reconstruction, float[batch] error) {
            e = Gemm<transB=1>(input, we, be)  h = Tanh(e)  reconstruction = Gemm<transB=1>(h, wd, bd)
            d = Sub(input, reconstruction)  s = Mul(d, d)  error = ReduceMean<axes=[1], keepdims=0>(s) }""",
        weights(16, we=(2, 4), be=(2,), wd=(4, 2), bd=(4,)))),
    ("binary", "net_layer_norm", "Scores churn by a net with layer normalisation.", lambda: net("""
        (float[batch, 4] input) => (float[batch, 1] output) {
            x = Gemm<transB=1>(input, w, b)  n = LayerNormalization<axis=-1>(x, scale, shift)  r = Relu(n)
            y = Gemm<transB=1>(r, fc, fb)  output = Sigmoid(y) }""",
        weights(17, w=(6, 4), b=(6,), scale=(6,), shift=(6,), fc=(1, 6), fb=(1,)))),
    ("raw", "net_attention", "Embeds a history by attention, at length one.", lambda: net("""
        (float[N, time, 3] history) => (float[N, 4] embedding) {
            q = MatMul(history, wq)  k = MatMul(history, wk)  v = MatMul(history, wv)
            kt = Transpose<perm=[0, 2, 1]>(k)  s = MatMul(q, kt)  half = Div(s, two)  a = Softmax<axis=-1>(half)
            c = MatMul(a, v)  m = ReduceMean<axes=[1], keepdims=0>(c)  l = ReduceL2<axes=[1], keepdims=1>(m)
            embedding = Div(m, l) }""",
        {**weights(18, wq=(3, 4), wk=(3, 4), wv=(3, 4)), "two": np.float32(2)}, {"history": HISTORY})),
    ("raw", "net_forecast", "Forecasts seven days, each a mean and a deviation, as a matrix a row.", lambda: net("""
        (float[N, 5, 3] history) => (float[N, 7, 2] forecast) {
            f = Flatten(history)  y = Gemm<transB=1>(f, w, b)  forecast = Reshape(y, shape) }""",
        {**weights(19, w=(14, 15), b=(14,)), "shape": np.int64([-1, 7, 2])}, {"history": HISTORY})),
    ("raw", "net_top_offers", "Ranks nine offers and gives the best three with their numbers.", lambda: net("""
        (float[N, 4] input) => (float[N, 3] scores, int64[N, 3] offers) {
            y = Gemm<transB=1>(input, w, b)  scores, offers = TopK<axis=1>(y, three) }""",
        {**weights(20, w=(9, 4), b=(9,)), "three": np.int64([3])})),
    ("classes", "net_temperature", "Names a plan with a temperature that has no dimensions beside the rows.",
        lambda: net("""
        (float[N, 4] input, float[] temperature) => (float[N, 3] probabilities) {
            y = Gemm<transB=1>(input, w, b)  t = Div(y, temperature)  probabilities = Softmax<axis=1>(t) }""",
        weights(21, w=(3, 4), b=(3,)), {"input": F, "temperature": np.float32([0.5, 1, 2])[np.arange(ROWS) % 3]})),
    ("binary", "net_fixed_one", "Scores churn in a file exported for a batch of one.",
        lambda: net(SIGMOID.replace("batch", "1"), weights(22, **DENSE), fixed_rows=1)),
    ("binary", "net_old_file", "Scores churn in a file of 2019: IR 3, opset 9, weights listed among the inputs.",
        lambda: net("""
        (float[N, 4] data, float[1, 4] w, float[1] b) => (float[N, 1] prob) {
            y = Gemm<alpha=1.0, beta=1.0, transB=1>(data, w, b)  prob = Sigmoid(y) }""",
        weights(30, w=(1, 4), b=(1,)), {"data": F}, opset=9, ir=3)),
    ("number", "net_new_file", "Estimates spend in a file of opset 23 and IR 11 with sizes computed in the graph.",
        lambda: net("""
        (float[N, 4] input) => (float[M, K] output) {
            shape = Shape(input)  n = Gather(shape, zero)  size = Concat<axis=0>(n, rest)
            h = Gelu<approximate="tanh">(input)  y = MatMul(h, w)  output = Reshape(y, size) }""",
        {**weights(31, w=(4, 1)), "zero": np.int64([0]), "rest": np.int64([-1])}, opset=23, ir=11)),
    ("number", "net_if", "Estimates spend in a file that chooses by a switch without dimensions.", lambda: net("""
        (float[N, 4] input, bool[] generous) => (float[N, 1] spend) {
            y = Gemm<transB=1>(input, w, b)
            spend = If(generous) <then_branch = more () => (float[N, 1] m) { m = Mul(y, two) },
            else_branch = same () => (float[N, 1] s) { s = Identity(y) }> }""",
        {**weights(33, w=(1, 4), b=(1,)), "two": np.float32(2)}, {"input": F, "generous": np.arange(ROWS) % 2 == 0})),
    ("binary", "net_fused_matmul", "Scores churn by the FusedMatMul of com.microsoft.", lambda: net("""
        (float[N, 4] input) => (float[N, 1] output) {
            y = com.microsoft.FusedMatMul<transB=1, alpha=0.5>(input, w)  output = Sigmoid(y) }""",
        weights(35, w=(1, 4)), by_reference=False)),
    ("number", "net_gelu", "Estimates spend by the Gelu and BiasGelu of com.microsoft.", lambda: net("""
        (float[N, 4] input) => (float[N, 1] output) {
            x = MatMul(input, w)  h = com.microsoft.BiasGelu(x, b)  g = com.microsoft.Gelu(h)
            output = MatMul(g, fc) }""",
        weights(36, w=(4, 6), b=(6,), fc=(6, 1)), by_reference=False)),
    ("binary", "net_quantized_static", "Scores churn in int8 with pairs of QuantizeLinear and DequantizeLinear.",
        lambda: quantized(lambda before, after: quantization.quantize_static(before, after, Rows()), 38)),
]

for row in PLAIN:
    register(*row)
