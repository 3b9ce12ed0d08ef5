"""Makes scikit-learn's models, converted by skl2onnx."""

import numpy as np
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import (
    BooleanTensorType, DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType,
)
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier, BaggingClassifier, ExtraTreesClassifier, GradientBoostingClassifier,
    GradientBoostingRegressor, HistGradientBoostingClassifier, HistGradientBoostingRegressor, IsolationForest,
    RandomForestClassifier, RandomForestRegressor, StackingClassifier, VotingClassifier,
)
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import (
    Lasso, LinearRegression, LogisticRegression, PoissonRegressor, QuantileRegressor, Ridge, RidgeClassifier,
    SGDClassifier, TweedieRegressor,
)
from sklearn.mixture import GaussianMixture
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, LocalOutlierFactor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer, MaxAbsScaler, MinMaxScaler, Normalizer, OneHotEncoder, OrdinalEncoder, PolynomialFeatures,
    RobustScaler, StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier

from .common import CHURN, PLAN, SPEND, TEST, TRAIN, YES_NO, Made, T, T_GAPS, X, X_GAPS, case, library, register

TYPES = {"f": FloatTensorType, "i": Int64TensorType, "b": BooleanTensorType, "O": StringTensorType}
SMALL = {"n_estimators": 5, "max_depth": 3, "random_state": 0}
TIERS = np.searchsorted(["basic", "plus", "premium", "trial"], PLAN)
COUNTS, COUNTS_TEST = (np.abs(x[:, [0, 2]]).astype(np.int64) for x in (X, T))


def scaled(model):
    """Puts a scaler before a model."""
    return make_pipeline(StandardScaler(), model)


def convert(model, types, options=None, inner=None, **more):
    """Converts with the options of the outermost model, and those of classes within."""
    options = {**(inner or {}), **({id(model): options} if options else {})}
    return convert_sklearn(model, initial_types=types, options=options or None, **more)


def made(onnx_model, feed, native, **more):
    """Describes a converted model."""
    return Made(onnx_model, feed, native, library=library("scikit-learn", "skl2onnx"), **more)


def maps(model, probabilities):
    """Gives probabilities the form of ZipMap."""
    return [dict(zip(model.classes_.tolist(), row)) for row in probabilities]


def classifier(
    model, target, x=X, test=T, zipmap=False, tensor=FloatTensorType, options=None, flat=False, note=None, **more
):
    """Makes a classifier of one matrix; `flat` where its file has one score a row."""
    model.fit(x.astype(np.float64), target)
    wide = test.astype(np.float64)
    scores = model.predict_proba(wide) if hasattr(model, "predict_proba") else model.decision_function(wide)
    scores = np.column_stack([-scores, scores]) if scores.ndim == 1 and not flat else scores
    native = [model.predict(wide), maps(model, scores) if zipmap is True else scores]
    if zipmap == "columns":
        native = [native[0], *scores.T]
    options = {**({} if zipmap in (None, True) else {"zipmap": zipmap}), **(options or {})}
    converted = convert(model, [("input", tensor([None, x.shape[1]]))], options, **more)
    labels = model.classes_.tolist()
    positive = labels[1] if len(labels) == 2 else None
    return made(converted, {"input": test}, native, labels=labels, positive=positive, note=note)


def matrix(model, target, methods=("predict",), x=X, test=T, tensor=FloatTensorType, options=None, note=None, **more):
    """Makes a model of one matrix whose outputs are the answers of some methods."""
    model.fit(x.astype(np.float64), target)
    native = [getattr(model, method)(test.astype(np.float64)) for method in methods]
    converted = convert(model, [("input", tensor([None, x.shape[1]]))], options, **more)
    return made(converted, {"input": test}, native, note=note)


def column_types(frame, wide=False):
    """Gives each column of a table an input of its own."""
    types = {**TYPES, "f": DoubleTensorType} if wide else TYPES
    return [(name, types[frame[name].dtype.kind]([None, 1])) for name in frame]


def column_feed(frame):
    """Returns each column as a matrix of one column."""
    return {name: frame[[name]].to_numpy() for name in frame}


def columns(model, names, target, zipmap=False, test=None, train=None, wide=False, **more):
    """Makes a model with an input a column: a classifier if it has classes."""
    train, test = (TRAIN if train is None else train)[names], (TEST if test is None else test)[names]
    model.fit(train, target)
    types, feed = column_types(train, wide), column_feed(test)
    if not hasattr(model, "predict_proba"):
        return made(convert(model, types, **more), feed, [model.predict(test)])
    scores, labels = model.predict_proba(test), model.classes_.tolist()
    native = [model.predict(test), maps(model, scores) if zipmap else scores]
    converted = convert(model, types, None if zipmap else {"zipmap": False}, **more)
    return made(converted, feed, native, labels=labels, positive=labels[1] if len(labels) == 2 else None)


def mixed(model, unknown="ignore", imputer=None):
    """Puts scaled numbers and one-hot encoded words before a model."""
    number = make_pipeline(imputer, StandardScaler()) if imputer else StandardScaler()
    encoder = OneHotEncoder(handle_unknown=unknown)
    steps = [("number", number, ["tenure", "monthly_charge", "calls"]), ("word", encoder, ["contract", "city"])]
    return make_pipeline(ColumnTransformer(steps), model)


SCORES = "the second output holds decision scores"
MIXED = ["tenure", "monthly_charge", "calls", "contract", "city"]


@case("binary")
def sk_logistic_zipmap():
    """Scores churn by logistic regression with skl2onnx's default ZipMap and labels of 0 and 1."""
    return classifier(scaled(LogisticRegression()), CHURN, zipmap=True)


@case("binary")
def sk_logistic_raw_scores():
    """Scores churn with skl2onnx's raw scores, which are no probabilities."""
    model = LogisticRegression(max_iter=2000)
    one = classifier(model, CHURN, options={"raw_scores": True})
    scores = model.decision_function(T.astype(np.float64))
    one.native[1] = np.column_stack([-scores, scores])
    return one


@case("binary")
def sk_logistic_no_label():
    """Scores churn with integers for labels that are words, by the option nocl."""
    one = classifier(LogisticRegression(max_iter=2000), YES_NO, options={"nocl": True})
    one.native[0] = np.searchsorted(["no", "yes"], one.native[0])
    return one


@case("several")
def sk_tree_leaf():
    """Scores churn by one tree and tells the leaf."""
    model = DecisionTreeClassifier(max_depth=3, random_state=0)
    one = classifier(model, CHURN, options={"decision_leaf": True})
    one.native.append(model.apply(T))
    return one


@case("binary")
def sk_extra_trees_mixed():
    """Scores churn by extra trees after an imputer and one-hot encoded words; unknown words are ignored."""
    test = TEST.assign(city=TEST["city"].where(TEST["calls"] > 2, "Atlantis"))
    test = test.assign(monthly_charge=T_GAPS[:, 1], tenure=T[:, 0], calls=T[:, 2])
    train = TRAIN.assign(monthly_charge=X_GAPS[:, 1], tenure=X[:, 0], calls=X[:, 2])
    model = mixed(ExtraTreesClassifier(**SMALL), imputer=SimpleImputer())
    return columns(model, MIXED, YES_NO, zipmap=True, test=test, train=train)


@case("binary")
def sk_extra_trees_strict():
    """Scores churn by extra trees after one-hot encoded words; an unknown word is an error."""
    return columns(mixed(ExtraTreesClassifier(**SMALL), unknown="error"), MIXED, YES_NO)


def three_models():
    """Returns three models to combine."""
    boosting = GradientBoostingClassifier(**SMALL)
    return [("line", LogisticRegression(max_iter=2000)), ("nb", GaussianNB()), ("boosting", boosting)]


@case("binary")
def sk_voting_hard():
    """Names churn by a vote of three models."""
    model = VotingClassifier(three_models(), voting="hard", flatten_transform=False).fit(X.astype(np.float64), CHURN)
    converted = convert(model, [("input", FloatTensorType([None, 4]))], {"zipmap": False})
    note = "the second output holds shares of votes"
    return made(converted, {"input": T}, [model.predict(T), None], labels=[0, 1], positive=1, note=note)


@case("several")
def sk_multi_label():
    """Says which of three marks apply, each with a probability."""
    marks = np.column_stack([CHURN, X[:, 1] > 70, X[:, 2] > 4]).astype(np.int64)
    model = scaled(OneVsRestClassifier(LogisticRegression()))
    return matrix(model, marks, ("predict", "predict_proba"), options={"zipmap": False})


@case("several")
def sk_multi_output_classifier():
    """Names churn and a level of charges at once."""
    targets = np.column_stack([CHURN, np.digitize(X[:, 1], [50, 90])])
    model = MultiOutputClassifier(DecisionTreeClassifier(max_depth=3, random_state=0))
    one = matrix(model, targets, options={"zipmap": False})
    one.native.append(list(zip(*model.predict_proba(T))))
    one.note = "the second output is a sequence of matrices, one a target"
    return one


@case("number")
def sk_hist_poisson():
    """Estimates calls by histogram boosting of a Poisson rate."""
    model = HistGradientBoostingRegressor(loss="poisson", max_iter=5, max_depth=3)
    note = "the converter loses the exponential, so the file answers the logarithm"
    return matrix(model, X[:, 2], x=X[:, [0, 1, 3]], test=T[:, [0, 1, 3]], note=note)


def gaussian_process():
    """Returns a small Gaussian process fitted on scaled columns, and the rows to answer."""
    x, test = (part[:, :3] / np.float32(50) for part in (X[:40], T))
    model = GaussianProcessRegressor(RBF(1.0) + WhiteKernel(0.1), optimizer=None, random_state=0)
    return model.fit(x.astype(np.float64), SPEND[:40]), test


@case("number")
def sk_gaussian_process():
    """Estimates spend by a Gaussian process in doubles."""
    model, test = gaussian_process()
    test = test.astype(np.float64)
    converted = convert(model, [("input", DoubleTensorType([None, 3]))], target_opset=17)
    return made(converted, {"input": test}, [model.predict(test)])


@case("several")
def sk_gaussian_process_std():
    """Estimates spend by a Gaussian process with a standard deviation."""
    model, test = gaussian_process()
    test = test.astype(np.float64)
    converted = convert(model, [("input", DoubleTensorType([None, 3]))], {"return_std": True}, target_opset=17)
    return made(converted, {"input": test}, list(model.predict(test, return_std=True)))


@case("binary")
def sk_bool_passed():
    """Scores churn with a column of booleans that is passed through beside numbers."""
    steps = [("number", StandardScaler(), ["monthly_charge"]), ("flag", "passthrough", ["senior"])]
    model = make_pipeline(ColumnTransformer(steps), LogisticRegression())
    return columns(model, ["monthly_charge", "senior"], CHURN)


@case("binary")
def sk_one_hot_integers():
    """Scores churn from one-hot encoded integers and words; a rare category is dropped."""
    count, word = OneHotEncoder(handle_unknown="ignore"), OneHotEncoder(drop="first")
    steps = [("count", count, ["calls"]), ("word", word, ["city"])]
    return columns(make_pipeline(ColumnTransformer(steps), LogisticRegression()), ["calls", "city"], CHURN)


@case("binary")
def sk_ordinal_words():
    """Scores churn from numbered words, with a number for unknown ones."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    steps = [("word", encoder, ["contract", "payment"])]
    model = make_pipeline(ColumnTransformer(steps), RandomForestClassifier(**SMALL))
    test = TEST.assign(payment=TEST["payment"].where(TEST["calls"] > 2, "barter"))
    return columns(model, ["contract", "payment"], CHURN, test=test)


@case("binary")
def sk_imputed_words():
    """Scores churn from words of which the empty ones are replaced by the most frequent."""
    imputer = SimpleImputer(strategy="most_frequent", missing_values="")
    empty = {name: {"cash": ""} for name in ["payment"]}
    steps = [("word", make_pipeline(imputer, OneHotEncoder()), ["contract", "payment"])]
    model = make_pipeline(ColumnTransformer(steps), LogisticRegression())
    return columns(model, ["contract", "payment"], CHURN, train=TRAIN.replace(empty), test=TEST.replace(empty))


@case("binary")
def sk_doubles():
    """Scores churn in doubles from unix seconds and balances beyond what a float holds."""
    names = ["signed_up", "balance", "tenure"]
    train, test = (frame.astype({name: np.float64 for name in names}) for frame in (TRAIN, TEST))
    steps = [("number", StandardScaler(), names)]
    model = make_pipeline(ColumnTransformer(steps), LogisticRegression())
    return columns(model, names, CHURN, train=train, test=test, wide=True)


@case("binary")
def sk_seconds_in_floats():
    """Scores churn in floats from unix seconds and balances that floats round."""
    names = ["signed_up", "balance", "tenure"]
    train, test = (frame.astype({name: np.float32 for name in names}) for frame in (TRAIN, TEST))
    steps = [("number", StandardScaler(), names)]
    model = make_pipeline(ColumnTransformer(steps), DecisionTreeClassifier(max_depth=5, random_state=0))
    return columns(model, names, CHURN, train=train, test=test)


@case("binary")
def sk_doubles_forest():
    """Scores churn in doubles by a forest of one matrix."""
    x, test = X.astype(np.float64), T.astype(np.float64)
    return classifier(RandomForestClassifier(**SMALL), CHURN, x, test, tensor=DoubleTensorType)


@case("number", bad="skl2onnx gives the trees an output of doubles, which ONNX Runtime refuses")
def sk_doubles_regressor():
    """Estimates spend in doubles by a forest."""
    model = RandomForestRegressor(**SMALL)
    return matrix(model, SPEND, x=X.astype(np.float64), test=T.astype(np.float64), tensor=DoubleTensorType)


@case("binary")
def sk_integer_columns():
    """Scores churn from integers alone: months, unix seconds, and cents."""
    names = ["tenure", "signed_up", "balance"]
    model = make_pipeline(ColumnTransformer([("number", StandardScaler(), names)]), LogisticRegression())
    return columns(model, names, CHURN)


WORDS = "late bill refund slow line good price cancel happy contract fee helpful".split()


def notes(rows, seed):
    """Draws notes of three to seven words."""
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(3, 8))) for _ in range(rows)]


# skl2onnx names the locale en_US unless told otherwise; ONNX Runtime opens such a file only where that is installed.
LOCALE = {TfidfVectorizer: {"locale": "C"}, CountVectorizer: {"locale": "C"}}


def text(model, methods, target=None, shape=(None, 1), inner=LOCALE, **more):
    """Makes a model of one text."""
    train, test = notes(120, 5), notes(24, 6)
    model.fit(train, target)
    options = {"zipmap": False} if "predict_proba" in methods else None
    converted = convert(model, [("note", StringTensorType(list(shape)))], options, inner)
    feed = {"note": np.array(test, dtype=object).reshape([24, 1][: len(shape)])}
    return made(converted, feed, [getattr(model, method)(test) for method in methods], **more)


def complains(word):
    """Says of each drawn note whether a word is in it."""
    return np.array([word in note.split() for note in notes(120, 5)]).astype(np.int64)


@case("binary", bad="opens only where the locale en_US.UTF-8 is installed, which skl2onnx names by default")
def sk_tfidf_locale():
    """Scores a note by weighted words in the locale that skl2onnx takes by default."""
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    return text(model, ("predict", "predict_proba"), complains("cancel"), inner=None, labels=[0, 1], positive=1)


@case("binary")
def sk_text_beside_numbers():
    """Scores churn from a note and a number."""
    steps = [("note", TfidfVectorizer(), "note"), ("number", StandardScaler(), ["tenure"])]
    model = make_pipeline(ColumnTransformer(steps), LogisticRegression())
    train, test = TRAIN.assign(note=notes(240, 5)), TEST.assign(note=notes(24, 6))
    train, test = (frame.astype({"note": object}) for frame in (train, test))
    return columns(model, ["note", "tenure"], CHURN, train=train, test=test, inner=LOCALE)


@case("raw")
def sk_hasher():
    """Hashes words into eight columns."""
    model = FeatureHasher(8, input_type="string", dtype=np.float32)
    converted = convert(model, [("city", StringTensorType([None, 1]))])
    feed = TEST[["city"]].to_numpy()
    return made(converted, {"city": feed}, [model.transform(feed).toarray()])


PLAIN = [
    ("binary", "sk_logistic_matrix", "Scores churn by logistic regression without ZipMap.",
        lambda: classifier(scaled(LogisticRegression()), CHURN)),
    ("binary", "sk_logistic_columns", "Scores churn by logistic regression with ZipMap's one output a class.",
        lambda: classifier(scaled(LogisticRegression()), CHURN, zipmap="columns")),
    ("binary", "sk_logistic_words", "Scores churn as yes or no with a ZipMap of words.",
        lambda: classifier(scaled(LogisticRegression()), YES_NO, zipmap=True)),
    ("binary", "sk_logistic_words_columns", "Scores churn as yes or no with one output a word.",
        lambda: classifier(scaled(LogisticRegression()), YES_NO, zipmap="columns")),
    ("binary", "sk_logistic_bool", "Scores churn with labels that are booleans.",
        lambda: classifier(scaled(LogisticRegression()), CHURN == 1)),
    ("binary", "sk_logistic_one_two", "Scores churn with the labels 1 and 2.",
        lambda: classifier(scaled(LogisticRegression()), CHURN + 1, zipmap=True)),
    ("binary", "sk_logistic_minus_one", "Scores churn with the labels -1 and 1.",
        lambda: classifier(scaled(LogisticRegression()), CHURN * 2 - 1)),
    ("binary", "sk_logistic_renamed", "Scores churn with outputs of other names.",
        lambda: classifier(scaled(LogisticRegression()), CHURN,
            final_types=[("decision", Int64TensorType([None])), ("p_churn", FloatTensorType([None, 2]))])),
    ("binary", "sk_logistic_old_opset", "Scores churn in a file of opset 9 and the first ai.onnx.ml.",
        lambda: classifier(scaled(LogisticRegression()), CHURN, target_opset={"": 9, "ai.onnx.ml": 1})),
    ("binary", "sk_logistic_int64", "Scores churn from a matrix of integers.",
        lambda: classifier(LogisticRegression(max_iter=2000), CHURN, COUNTS, COUNTS_TEST, tensor=Int64TensorType)),
    ("classes", "sk_multinomial_words", "Names one of four plans by multinomial regression with a ZipMap.",
        lambda: classifier(scaled(LogisticRegression()), PLAN, zipmap=True)),
    ("classes", "sk_multinomial_integers", "Names one of four tiers, numbered 0, 10, 20 and 30.",
        lambda: classifier(scaled(LogisticRegression()), TIERS * 10)),
    ("classes", "sk_multinomial_columns", "Names one of four plans with one output a plan.",
        lambda: classifier(scaled(LogisticRegression()), PLAN, zipmap="columns")),
    ("binary", "sk_linear_svc", "Scores churn by a linear support vector machine, which has no probabilities.",
        lambda: classifier(LinearSVC(random_state=0), YES_NO, X / 50, T / 50, zipmap=None, flat=True, note=SCORES)),
    ("classes", "sk_linear_svc_classes", "Names a plan by linear support vector machines with a score a plan.",
        lambda: classifier(LinearSVC(random_state=0), PLAN, X / 50, T / 50, zipmap=None, note=SCORES)),
    ("binary", "sk_svc", "Scores churn by a kernel machine without probabilities.",
        lambda: classifier(scaled(SVC(C=0.5)), CHURN, note="decision scores; the converter gives them the wrong sign")),
    ("binary", "sk_svc_calibrated", "Scores churn by a kernel machine with calibrated probabilities.",
        lambda: classifier(CalibratedClassifierCV(scaled(SVC()), cv=2, ensemble=False), CHURN,
            note="the converter gives the scores the wrong sign, so labels are reversed")),
    ("binary", "sk_svc_probability", "Scores churn by a kernel machine with Platt's probabilities.",
        lambda: classifier(SVC(probability=True, random_state=0, gamma="auto"), YES_NO, X / 50, T / 50)),
    ("classes", "sk_svc_probability_classes", "Names a plan by kernel machines with pairwise probabilities.",
        lambda: classifier(SVC(probability=True, random_state=0, gamma="auto"), PLAN, X / 50, T / 50)),
    ("binary", "sk_sgd_log_loss", "Scores churn by stochastic gradient descent on the log loss.",
        lambda: classifier(scaled(SGDClassifier(loss="log_loss", random_state=0)), CHURN)),
    ("binary", "sk_sgd_hinge", "Scores churn by stochastic gradient descent on the hinge loss, without probabilities.",
        lambda: classifier(scaled(SGDClassifier(random_state=0)), CHURN, note=SCORES)),
    ("binary", "sk_ridge_classifier", "Scores churn by a ridge classifier, without probabilities.",
        lambda: classifier(scaled(RidgeClassifier()), YES_NO, flat=True,
            note=SCORES + ", one a row where the file says two")),
    ("classes", "sk_neighbours_classifier", "Names a plan by its five nearest neighbours.",
        lambda: classifier(scaled(KNeighborsClassifier()), PLAN)),
    ("number", "sk_neighbours_regressor", "Estimates spend from neighbours weighted by distance.",
        lambda: matrix(scaled(KNeighborsRegressor(weights="distance")), SPEND, note="the converter loses the weights")),
    ("binary", "sk_gaussian_nb", "Scores churn by naive Bayes.", lambda: classifier(GaussianNB(), CHURN)),
    ("classes", "sk_multinomial_nb", "Names a plan from counts by naive Bayes.",
        lambda: classifier(MultinomialNB(), PLAN, COUNTS, COUNTS_TEST, tensor=Int64TensorType)),
    ("binary", "sk_discriminant", "Scores churn by linear discriminant analysis.",
        lambda: classifier(LinearDiscriminantAnalysis(), YES_NO, zipmap=True,
            note="the converter takes a softmax of two scores where the library takes a sigmoid of one")),
    ("binary", "sk_tree", "Scores churn by one tree.",
        lambda: classifier(DecisionTreeClassifier(max_depth=4, random_state=0), CHURN, zipmap=True)),
    ("binary", "sk_forest", "Scores churn by a random forest.",
        lambda: classifier(RandomForestClassifier(**SMALL), YES_NO, zipmap=True)),
    ("classes", "sk_forest_classes", "Names a plan by a random forest.",
        lambda: classifier(RandomForestClassifier(**SMALL), PLAN)),
    ("binary", "sk_forest_gaps", "Scores churn by a random forest that routes missing values itself.",
        lambda: classifier(RandomForestClassifier(**SMALL), CHURN, X_GAPS, T_GAPS,
            note="the converter loses where missing values go")),
    ("binary", "sk_boosting", "Scores churn by gradient boosting.",
        lambda: classifier(GradientBoostingClassifier(**SMALL), CHURN, zipmap=True)),
    ("classes", "sk_boosting_classes", "Names a plan by gradient boosting.",
        lambda: classifier(GradientBoostingClassifier(**SMALL), PLAN)),
    ("binary", "sk_hist_gaps", "Scores churn by histogram boosting that routes missing values.",
        lambda: classifier(HistGradientBoostingClassifier(max_iter=5, max_depth=3), CHURN, X_GAPS, T_GAPS)),
    ("classes", "sk_hist_classes", "Names a plan by histogram boosting.",
        lambda: classifier(HistGradientBoostingClassifier(max_iter=4, max_depth=3), PLAN, zipmap=True)),
    ("binary", "sk_ada_boost", "Scores churn by AdaBoost.",
        lambda: classifier(AdaBoostClassifier(n_estimators=5, random_state=0), CHURN)),
    ("classes", "sk_mlp", "Names a plan by a small neural network.",
        lambda: classifier(scaled(MLPClassifier([6], max_iter=300, random_state=0)), PLAN)),
    ("binary", "sk_mlp_binary", "Scores churn by a small neural network.",
        lambda: classifier(scaled(MLPClassifier([6, 3], max_iter=300, random_state=0, activation="tanh")), YES_NO)),
    ("binary", "sk_calibrated_sigmoid", "Scores churn by a forest calibrated with a sigmoid.",
        lambda: classifier(CalibratedClassifierCV(RandomForestClassifier(**SMALL), cv=2), CHURN)),
    ("binary", "sk_calibrated_isotonic", "Scores churn by a linear machine calibrated with isotonic regression.",
        lambda: classifier(scaled(CalibratedClassifierCV(LinearSVC(random_state=0), method="isotonic", cv=2)), YES_NO,
            note="the converter takes the nearest step where the library interpolates")),
    ("binary", "sk_voting_soft", "Scores churn by the mean of three models.",
        lambda: classifier(
            VotingClassifier(three_models(), voting="soft", weights=np.array([2, 1, 1]), flatten_transform=False),
            YES_NO)),
    ("binary", "sk_stacking", "Scores churn by a stack of three models.",
        lambda: classifier(StackingClassifier(three_models(), LogisticRegression(), cv=2), CHURN)),
    ("binary", "sk_bagging", "Scores churn by bagged trees that each see some columns.",
        lambda: classifier(
            BaggingClassifier(DecisionTreeClassifier(max_depth=3), 4, max_features=0.75, random_state=0), CHURN)),
    ("classes", "sk_one_vs_rest", "Names a plan by one regression against the rest.",
        lambda: classifier(scaled(OneVsRestClassifier(LogisticRegression())), PLAN)),
    ("number", "sk_linear", "Estimates spend by least squares.", lambda: matrix(LinearRegression(), SPEND)),
    ("number", "sk_ridge_robust", "Estimates spend by ridge regression after a robust scaler.",
        lambda: matrix(make_pipeline(RobustScaler(), Ridge()), SPEND)),
    ("number", "sk_lasso_polynomial", "Estimates spend by lasso on polynomial features.",
        lambda: matrix(make_pipeline(MinMaxScaler(), PolynomialFeatures(2), Lasso(alpha=0.1, max_iter=9000)), SPEND)),
    ("number", "sk_svr", "Estimates spend by a kernel machine.", lambda: matrix(scaled(SVR(C=50)), SPEND)),
    ("number", "sk_forest_regressor", "Estimates spend by a random forest.",
        lambda: matrix(RandomForestRegressor(**SMALL), SPEND)),
    ("number", "sk_boosting_regressor", "Estimates spend by gradient boosting on the median.",
        lambda: matrix(GradientBoostingRegressor(**SMALL, loss="quantile", alpha=0.5), SPEND)),
    ("number", "sk_hist_regressor_gaps", "Estimates spend by histogram boosting that routes missing values.",
        lambda: matrix(HistGradientBoostingRegressor(max_iter=5, max_depth=3), SPEND, x=X_GAPS, test=T_GAPS)),
    ("several", "sk_two_targets", "Estimates spend and its square root at once.",
        lambda: matrix(LinearRegression(), np.column_stack([SPEND, np.sqrt(np.abs(SPEND))]))),
    ("several", "sk_multi_output_regressor", "Estimates two targets by two boosted models.",
        lambda: matrix(MultiOutputRegressor(GradientBoostingRegressor(n_estimators=4, max_depth=2, random_state=0)),
            np.column_stack([SPEND, X[:, 1]]))),
    ("number", "sk_poisson", "Estimates calls by Poisson regression.",
        lambda: matrix(scaled(PoissonRegressor()), X[:, 2], x=X[:, [0, 1, 3]], test=T[:, [0, 1, 3]])),
    ("number", "sk_tweedie", "Estimates calls by Tweedie regression.",
        lambda: matrix(scaled(TweedieRegressor(power=1.5, link="log")), X[:, 2],
            x=X[:, [0, 1, 3]], test=T[:, [0, 1, 3]])),
    ("number", "sk_quantile", "Estimates the ninth decile of spend.",
        lambda: matrix(scaled(QuantileRegressor(quantile=0.9, alpha=0.01)), SPEND)),
    ("number", "sk_mlp_regressor", "Estimates spend by a small neural network.",
        lambda: matrix(scaled(MLPRegressor(hidden_layer_sizes=[6], max_iter=400, random_state=0)), SPEND)),
    ("raw", "sk_isolation_forest", "Tells outliers by an isolation forest.",
        lambda: matrix(IsolationForest(n_estimators=5, max_samples=32, random_state=0), None,
            ("predict", "decision_function"), target_opset={"": 17, "ai.onnx.ml": 3})),
    ("raw", "sk_one_class_svm", "Tells outliers by a kernel machine.",
        lambda: matrix(scaled(OneClassSVM(nu=0.1)), None, ("predict", "decision_function"))),
    ("raw", "sk_local_outlier", "Tells novelties by the density around them.",
        lambda: matrix(LocalOutlierFactor(n_neighbors=5, novelty=True), None, ("predict", "decision_function"),
            x=X[:80])),
    ("raw", "sk_kmeans", "Numbers clusters and gives the distances to them.",
        lambda: matrix(scaled(KMeans(4, n_init=2, random_state=0)), None, ("predict", "transform"))),
    ("raw", "sk_gaussian_mixture", "Numbers the components of a mixture with probabilities.",
        lambda: matrix(scaled(GaussianMixture(3, random_state=0)), None, ("predict", "predict_proba"))),
    ("raw", "sk_pca", "Embeds rows by principal components.",
        lambda: matrix(make_pipeline(MaxAbsScaler(), PCA(2)), None, ("transform",))),
    ("raw", "sk_text_svd", "Embeds notes by singular values of their words.",
        lambda: text(make_pipeline(TfidfVectorizer(), TruncatedSVD(3, random_state=0)), ("transform",))),
    ("raw", "sk_normalizer", "Brings rows to length one.", lambda: matrix(Normalizer(), None, ("transform",))),
    ("raw", "sk_neighbour_imputer", "Fills gaps from neighbours, and gives the filled matrix.",
        lambda: matrix(KNNImputer(n_neighbors=2), None, ("transform",), x=X_GAPS[:40], test=T_GAPS)),
    ("raw", "sk_bins", "Puts numbers into bins, one-hot encoded.",
        lambda: matrix(KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf"), None,
            ("transform",))),
    ("number", "sk_bins_ordinal", "Estimates spend from numbered bins.",
        lambda: matrix(make_pipeline(SimpleImputer(strategy="median"),
            KBinsDiscretizer(5, encode="ordinal", strategy="uniform"), Ridge()), SPEND, x=X_GAPS, test=T_GAPS)),
    ("binary", "sk_mixed_columns", "Scores churn from columns of floats, integers and words.",
        lambda: columns(mixed(LogisticRegression()), MIXED, YES_NO, zipmap=True)),
    ("number", "sk_mixed_regressor", "Estimates spend from columns of floats, integers and words.",
        lambda: columns(mixed(RandomForestRegressor(**SMALL)), MIXED, SPEND)),
    ("binary", "sk_tfidf", "Scores a note by weighted words with the Tokenizer of com.microsoft.",
        lambda: text(make_pipeline(TfidfVectorizer(), LogisticRegression()), ("predict", "predict_proba"),
            complains("cancel"), labels=[0, 1], positive=1)),
    ("binary", "sk_counted_words", "Scores a note by counted words and pairs of words; the input is a vector.",
        lambda: text(make_pipeline(CountVectorizer(ngram_range=(1, 2), max_features=30), MultinomialNB()), ("predict",
            "predict_proba"), complains("refund"), (None,), labels=[0, 1], positive=1)),
]

for row in PLAIN:
    register(*row)
