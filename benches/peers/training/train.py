"""Fits one pipeline of scikit-learn for `onnward-bench train`.

It says "read" on a line of its own when the table is in memory and "fitted" when the pipeline is, and each time waits for
a line, so that whoever started it can take measure. Last comes a line of JSON.
"""

import argparse
import json
import sys
import tomllib

import pandas
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler


def read(path, schema):
    """The features and the labels; columns as small as pandas has them."""
    features = schema["features"]
    names = [feature["name"] for feature in features]
    numeric = [feature["name"] for feature in features if feature["type"] == "numeric"]
    label = schema["label"]
    table = pandas.read_csv(
        path,
        usecols=[*names, label["column"]],
        dtype={name: "float32" if name in numeric else "category" for name in names},
        keep_default_na=False,
        na_values={name: ["", " "] for name in numeric},
    )
    return table[names], (table[label["column"]] == label["positive"]).to_numpy()


def preprocessing(schema, family, knots, sparse):
    """Median, scaling, splines and one-hot encoding, in single precision where scikit-learn lets it be chosen."""
    features = schema["features"]
    numeric = [feature["name"] for feature in features if feature["type"] == "numeric"]
    categorical = [feature for feature in features if feature["type"] != "numeric"]
    steps = [SimpleImputer(strategy="median")]
    if family == "logistic":
        steps.append(StandardScaler())
    if knots:
        # Its knots include both ends.
        steps.append(SplineTransformer(n_knots=knots + 2, degree=1, knots="quantile", sparse_output=sparse))
    one_hot = OneHotEncoder(
        categories=[feature["values"] for feature in categorical],
        handle_unknown="ignore",
        dtype="float32",
        sparse_output=sparse,
    )
    return ColumnTransformer(
        [
            ("numeric", make_pipeline(*steps), numeric),
            ("categorical", one_hot, [feature["name"] for feature in categorical]),
        ],
        sparse_threshold=1.0 if sparse else 0.0,
    )


def model(arguments):
    if arguments.family == "logistic":
        return LogisticRegression(C=1.0, solver=arguments.solver, max_iter=1000)
    return RandomForestClassifier(
        n_estimators=arguments.trees,
        min_samples_leaf=arguments.min_samples_leaf,
        min_samples_split=arguments.min_samples_split,
        n_jobs=-1,
        random_state=42,
    )


def pause(said):
    print(said, flush=True)
    sys.stdin.readline()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("family", choices=["logistic", "forest"])
    parser.add_argument("--schema", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--knots", type=int, default=0)
    parser.add_argument("--solver", default="lbfgs")
    parser.add_argument("--matrix", choices=["dense", "sparse"], default="dense")
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--min-samples-leaf", type=int, default=20)
    parser.add_argument("--min-samples-split", type=int, default=40)
    arguments = parser.parse_args()
    with open(arguments.schema, "rb") as file:
        schema = tomllib.load(file)

    features, labels = read(arguments.train, schema)
    pause("read")
    sparse = arguments.matrix == "sparse"
    pipeline = make_pipeline(
        preprocessing(schema, arguments.family, arguments.knots, sparse), model(arguments)
    )
    pipeline.fit(features, labels)
    pause("fitted")

    features, labels = read(arguments.test, schema)
    area = roc_auc_score(labels, pipeline.predict_proba(features)[:, 1])
    print(json.dumps({"library": f"scikit-learn {sklearn.__version__}", "roc_auc": area}))


main()
