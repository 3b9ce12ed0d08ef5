"""Makes LightGBM's, XGBoost's and CatBoost's models with their usual converters."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from catboost import CatBoostClassifier, CatBoostRanker, CatBoostRegressor
from lightgbm import LGBMClassifier, LGBMRanker, LGBMRegressor
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm as lightgbm_operator
from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost as xgboost_operator
from skl2onnx import update_registered_converter
from skl2onnx.common import shape_calculator as shapes
from xgboost import XGBClassifier, XGBRegressor

from .common import CHURN, PLAN, SPEND, YES_NO, Made, T, T_GAPS, X, X_GAPS, case, library, register
from .sklearn_cases import MIXED, TIERS, columns, maps, mixed

LIGHT = {"n_estimators": 5, "num_leaves": 6, "verbose": -1, "n_jobs": 1, "random_state": 0}
EXTREME = {"n_estimators": 5, "max_depth": 3, "n_jobs": 1, "random_state": 0}
CAT = {"iterations": 5, "depth": 3, "verbose": False, "allow_writing_files": False, "thread_count": 1, "random_seed": 0}
GROUPS = [12] * 20
NOT_A_MEAN = "the converter adds scores of trees up where the library takes their mean, then divides by 100"
RANKS = X[:, 2].astype(int) // 3
CODES, CODES_TEST = (np.column_stack([x[:, :2], x[:, 2] % 5]).astype(np.float32) for x in (X, T))


def answers(model, test, zipmap):
    """Returns what the library answers, with its labels and the positive one."""
    if not hasattr(model, "predict_proba"):
        return {"native": [model.predict(test)]}
    scores, labels = model.predict_proba(test), model.classes_.tolist()
    native = [model.predict(test).ravel(), maps(model, scores) if zipmap else scores]
    return {"native": native, "labels": labels, "positive": labels[1] if len(labels) == 2 else None}


def light(model, target, x=X, test=T, zipmap=False, fit=None, note=None, **more):
    """Fits LightGBM and converts it."""
    model.fit(x, target, **(fit or {}))
    types = [("input", FloatTensorType([None, x.shape[1]]))]
    converted = convert_lightgbm(model, initial_types=types, zipmap=zipmap, **more)
    made_by = library("lightgbm", "onnxmltools")
    return Made(converted, {"input": test}, library=made_by, note=note, **answers(model, test, zipmap))


def extreme(model, target, x=X, test=T, note=None):
    """Fits XGBoost and converts it."""
    model.fit(x, target)
    converted = convert_xgboost(model, initial_types=[("input", FloatTensorType([None, x.shape[1]]))])
    made_by = library("xgboost", "onnxmltools")
    return Made(converted, {"input": test}, library=made_by, note=note, **answers(model, test, False))


def cat(model, target, x=X, test=T, fit=None):
    """Fits CatBoost and exports it."""
    model.fit(x, target, **(fit or {}))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model.save_model(str(path), format="onnx", export_parameters={"onnx_graph_name": "CatBoostModel"})
        exported = onnx.load(path)
    kept = [entry for entry in exported.metadata_props if entry.key not in ("model_guid", "train_finish_time")]
    del exported.metadata_props[:]
    exported.metadata_props.extend(kept)
    return Made(exported, {"features": test}, library=library("catboost"), **answers(model, test, True))


@case("number")
def light_regressor_split():
    """Estimates spend by LightGBM whose trees are summed in parts, by the option split."""
    return light(LGBMRegressor(**LIGHT), SPEND, split=2)


@case("binary")
def light_in_pipeline():
    """Scores churn by LightGBM in a scikit-learn pipeline over mixed columns."""
    parts = shapes.calculate_linear_classifier_output_shapes, lightgbm_operator
    options = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
    update_registered_converter(LGBMClassifier, "LightGbmLGBMClassifier", *parts, options=options)
    one = columns(mixed(LGBMClassifier(**LIGHT)), MIXED, YES_NO, True, target_opset={"": 15, "ai.onnx.ml": 3})
    one.library = library("lightgbm", "skl2onnx")
    return one


@case("binary")
def extreme_in_pipeline():
    """Scores churn by XGBoost in a scikit-learn pipeline over mixed columns."""
    parts = shapes.calculate_linear_classifier_output_shapes, xgboost_operator
    options = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
    update_registered_converter(XGBClassifier, "XGBoostXGBClassifier", *parts, options=options)
    one = columns(mixed(XGBClassifier(**EXTREME)), MIXED, CHURN, target_opset={"": 15, "ai.onnx.ml": 3})
    one.library = library("xgboost", "skl2onnx")
    one.note = "a value on the threshold of a tree falls to the other side when floats scale it"
    return one


@case("several", bad="CatBoost writes trees without a number of targets, which ONNX Runtime refuses")
def cat_two_targets():
    """Estimates two targets by CatBoost."""
    return cat(CatBoostRegressor(**CAT, loss_function="MultiRMSE"), np.column_stack([SPEND, X[:, 1]]))


PLAIN = [
    ("binary", "light_zipmap", "Scores churn by LightGBM with a ZipMap.",
        lambda: light(LGBMClassifier(**LIGHT), CHURN, zipmap=True)),
    ("binary", "light_matrix", "Scores churn as yes or no by LightGBM without ZipMap.",
        lambda: light(LGBMClassifier(**LIGHT), YES_NO)),
    ("binary", "light_gaps", "Scores churn by LightGBM that routes missing values.",
        lambda: light(LGBMClassifier(**LIGHT), CHURN, X_GAPS, T_GAPS)),
    ("binary", "light_codes", "Scores churn by LightGBM with a column of category codes.",
        lambda: light(LGBMClassifier(**LIGHT, min_data_per_group=5), CHURN, CODES, CODES_TEST,
            fit={"categorical_feature": [2]})),
    ("binary", "light_forest", "Scores churn by LightGBM of random-forest type.",
        lambda: light(LGBMClassifier(**LIGHT, boosting_type="rf", bagging_freq=1, bagging_fraction=0.6), CHURN,
            note=NOT_A_MEAN)),
    ("classes", "light_classes", "Names a plan by LightGBM with a ZipMap.",
        lambda: light(LGBMClassifier(**LIGHT), PLAN, zipmap=True)),
    ("classes", "light_classes_matrix", "Names a tier by LightGBM without ZipMap.",
        lambda: light(LGBMClassifier(**LIGHT), TIERS)),
    ("number", "light_regressor", "Estimates spend by LightGBM.", lambda: light(LGBMRegressor(**LIGHT), SPEND)),
    ("number", "light_poisson", "Estimates calls by LightGBM of a Poisson rate.",
        lambda: light(LGBMRegressor(**LIGHT, objective="poisson"), X[:, 2], X[:, [0, 1, 3]], T[:, [0, 1, 3]])),
    ("raw", "light_ranker", "Ranks offers by LightGBM.",
        lambda: light(LGBMRanker(**LIGHT), RANKS, fit={"group": GROUPS})),
    ("binary", "extreme_binary", "Scores churn by XGBoost.", lambda: extreme(XGBClassifier(**EXTREME), CHURN)),
    ("binary", "extreme_gaps", "Scores churn by XGBoost that routes missing values, from a base score of its own.",
        lambda: extreme(XGBClassifier(**EXTREME, base_score=0.5), CHURN, X_GAPS, T_GAPS)),
    ("classes", "extreme_classes", "Names a tier by XGBoost.", lambda: extreme(XGBClassifier(**EXTREME), TIERS)),
    ("number", "extreme_regressor", "Estimates spend by XGBoost.", lambda: extreme(XGBRegressor(**EXTREME), SPEND)),
    ("number", "extreme_forest", "Estimates spend by XGBoost of parallel trees.",
        lambda: extreme(XGBRegressor(**EXTREME, num_parallel_tree=2, subsample=0.7), SPEND)),
    ("number", "extreme_poisson", "Estimates calls by XGBoost of a Poisson rate.",
        lambda: extreme(XGBRegressor(**EXTREME, objective="count:poisson"), X[:, 2], X[:, [0, 1, 3]], T[:, [0, 1, 3]])),
    ("several", "extreme_two_targets", "Estimates two targets by XGBoost.",
        lambda: extreme(XGBRegressor(**EXTREME), np.column_stack([SPEND, X[:, 1]]),
            note="the converter loses the second target")),
    ("binary", "cat_binary", "Scores churn by CatBoost, whose export has a ZipMap.",
        lambda: cat(CatBoostClassifier(**CAT), CHURN)),
    ("binary", "cat_words", "Scores churn as yes or no by CatBoost.", lambda: cat(CatBoostClassifier(**CAT), YES_NO)),
    ("binary", "cat_gaps", "Scores churn by CatBoost that routes missing values.",
        lambda: cat(CatBoostClassifier(**CAT), CHURN, X_GAPS, T_GAPS)),
    ("classes", "cat_classes", "Names a plan by CatBoost.", lambda: cat(CatBoostClassifier(**CAT), PLAN)),
    ("number", "cat_regressor", "Estimates spend by CatBoost.", lambda: cat(CatBoostRegressor(**CAT), SPEND)),
    ("raw", "cat_ranker", "Ranks offers by CatBoost.",
        lambda: cat(CatBoostRanker(**CAT), RANKS, fit={"group_id": np.repeat(np.arange(20), 12)})),
]

for row in PLAIN:
    register(*row)
