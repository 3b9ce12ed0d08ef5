"""Fits the models that the peers serve: `train.py TABLE FOLDER` writes FOLDER/{logistic,forest}/model.{joblib,onnx}.

The settings are those of Onnward's default candidates; Onnward's logistic regression has splines besides.
"""

import sys
from pathlib import Path

import joblib
import pandas as pd
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

IDENTIFIER, LABEL, POSITIVE = "customerID", "Churn", "Yes"
NUMERIC = ["tenure", "MonthlyCharges", "TotalCharges"]
SEED = 42


def families():
    """The classifier of each family."""
    return {
        "logistic": LogisticRegression(C=1.0, max_iter=1000),
        "forest": RandomForestClassifier(
            n_estimators=100, min_samples_leaf=20, min_samples_split=40, random_state=SEED, n_jobs=1
        ),
    }


def read(path):
    """The table's features and labels: numbers with NaN for missing, all else as text."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False).drop(columns=IDENTIFIER)
    labels = table.pop(LABEL) == POSITIVE
    for column in NUMERIC:
        table[column] = pd.to_numeric(table[column], errors="coerce")
    return table, labels.astype(int)


def pipeline(classifier, columns):
    """Preprocessing and a classifier, from the raw columns."""
    numeric = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    categorical = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    texts = [column for column in columns if column not in NUMERIC]
    transform = ColumnTransformer([("numeric", numeric, NUMERIC), ("categorical", categorical, texts)])
    return Pipeline([("transform", transform), ("classify", classifier)])


def onnx_of(model, columns):
    """The same pipeline for ONNX Runtime: an input for each column, and probabilities as a plain tensor."""
    inputs = [
        (name, FloatTensorType([None, 1]) if name in NUMERIC else StringTensorType([None, 1])) for name in columns
    ]
    return to_onnx(model, initial_types=inputs, options={id(model.named_steps["classify"]): {"zipmap": False}})


def main(table, folder):
    features, labels = read(table)
    # As many rows as Onnward's trainer fits on, which holds a fifth out.
    features, _, labels, _ = train_test_split(features, labels, test_size=0.2, random_state=SEED, stratify=labels)
    for family, classifier in families().items():
        model = pipeline(classifier, features.columns).fit(features, labels)
        target = Path(folder) / family
        target.mkdir(parents=True, exist_ok=True)
        joblib.dump(model, target / "model.joblib")
        (target / "model.onnx").write_bytes(onnx_of(model, features.columns).SerializeToString())


if __name__ == "__main__":
    main(*sys.argv[1:])
