"""Whether live rows are like those of training, and whether the model is still as good as it was."""

from panels import (
    ENGINE,
    JOB,
    MODEL,
    VERSION,
    bad_above,
    bad_below,
    bars,
    choice,
    dashboard as whole,
    graph,
    now,
    query,
    row,
    served,
    stat,
    table,
)

WINDOW = f'{VERSION},window="$window"'
FEATURES = f'{WINDOW},kind="feature"'
SCORE = f'{WINDOW},kind="score"'


def dashboard():
    panels = [*_state(), *_features(), *_score(), *_performance(), *_together(), *_outcomes()]
    return whole(
        "onnward-drift",
        "Onnward: drift and outcomes",
        "Live rows against the training profile, and predictions against what happened.",
        panels,
        [choice("window", "Window", ["sliding", "tumbling"])],
    )


def _figure(metric, figure):
    return f'onnward_{metric}{{{VERSION},figure="{figure}"}}'


def _state():
    drifts, score = f"onnward_drift_detected{{{FEATURES}}}", f"onnward_drift_psi{{{SCORE}}}"
    return [
        row("Is what serves still right?"),
        stat(
            "Features that drift",
            "They differ from the training data. Above 0: the table below says which; GET "
            "/models/NAME/drift/report shows training against live.",
            "short",
            now(f"count(max by (model, version, feature) ({served(drifts)}) == 1) or vector(0)"),
            bad_above(1, 5),
        ),
        stat(
            "Drift of the score",
            "Population stability index of the probabilities: under 0.1 little, over 0.25 much. Much: runbook, "
            "OnnwardScoreDrift.",
            "none",
            now(f"max({served(score)})"),
            bad_above(0.1, 0.25),
            decimals=3,
        ),
        stat(
            "Window filled",
            "Rows in the window against those that a verdict needs. Under 100 %: too few rows to tell, nothing is "
            "reported as drift yet; wait, or lower drift.min_rows.",
            "percentunit",
            now(
                f'min(onnward_drift_window_rows{{{VERSION},window="$window"}} / on (job, instance, model, version) onnward_drift_min_rows{{{VERSION}}})'
            ),
            bad_below(0.5, 1),
        ),
        stat(
            "ROC AUC, measured",
            "Against outcomes. 0.05 below evaluation: runbook, OnnwardAccuracyDropped. No data: no outcomes yet, "
            "the estimate has to do.",
            "none",
            now(f"min({served(_figure('online_performance', 'roc_auc'))})"),
            decimals=3,
        ),
        stat(
            "ROC AUC, estimated",
            "From the probabilities alone, before outcomes arrive; right as long as they are calibrated. 0.05 "
            "below evaluation: runbook, OnnwardEstimatedAccuracyDropped.",
            "none",
            now(f"min({served(_figure('estimated_performance', 'roc_auc'))})"),
            decimals=3,
        ),
        stat(
            "ROC AUC, in training",
            "Of the held-out rows: what the other two are compared with. Nothing to do.",
            "none",
            now(f"min({served(_figure('model_evaluation', 'roc_auc'))})"),
            decimals=3,
        ),
        stat(
            "Calibration error",
            "How far the probabilities are off on average. Over 10 %: do not act on probabilities or on revenue "
            "at risk; runbook, OnnwardCalibrationBroken.",
            "percentunit",
            now(f"max({served(_figure('online_performance', 'calibration_error'))})"),
            bad_above(0.05, 0.1),
            decimals=1,
        ),
        stat(
            "Outcome coverage",
            "Share of the stored predictions whose outcome is known. Low for long: whoever posts the outcomes has "
            "stopped; see “Outcomes” below.",
            "percentunit",
            now(f"min(onnward_outcome_coverage_ratio{{{VERSION}}})"),
            decimals=1,
        ),
    ]


def _features():
    by = "model, version, feature"
    psi = f"max by ({by}) (onnward_drift_psi{{{FEATURES}}})"
    return [
        row("Features, the worst first"),
        table(
            "Features",
            "PSI over 0.25, a Jensen–Shannon distance over 0.1 or a tiny p-value on many rows: the feature "
            "changed. Ask whoever delivers it (a new unit, default, product?) before you retrain.",
            "none",
            [
                ("PSI", psi),
                ("JS distance", f"max by ({by}) (onnward_drift_js_distance{{{FEATURES}}})"),
                ("p-value", f"min by ({by}) (onnward_drift_p_value{{{FEATURES}}})"),
                ("drifts", f"max by ({by}) (onnward_drift_detected{{{FEATURES}}})"),
            ],
            sort_by=("PSI", True),
            thresholds={"PSI": bad_above(0.1, 0.25), "drifts": bad_above(1, 1)},
            height=10,
        ),
        bars(
            "The ten worst",
            "By PSI, now. One alone: its source changed. All at once: other customers are scored, a new segment "
            "or a test run.",
            "none",
            f"sort_desc(topk(10, {psi}))",
            "{{feature}}",
            bad_above(0.1, 0.25),
            height=10,
        ),
        graph(
            "PSI over time",
            "Of the ten worst. A step: a change at the source at that time, find the release. A slope: customers "
            "change, plan to retrain.",
            "none",
            query(f"topk(10, max by (feature) (onnward_drift_psi{{{FEATURES}}}))", "{{feature}}"),
            width=8,
        ),
        graph(
            "Jensen–Shannon distance over time",
            "From 0 (the same) to 1 (nothing in common). Use it beside PSI, which exaggerates rare values: high "
            "in both is real.",
            "none",
            query(f"topk(10, max by (feature) (onnward_drift_js_distance{{{FEATURES}}}))", "{{feature}}"),
            width=8,
            top=1,
        ),
        graph(
            "p-values over time",
            "Of the ten smallest: how likely such a difference is by chance. Small with a small PSI: real but too "
            "small to matter, leave it.",
            "none",
            query(f"bottomk(10, min by (feature) (onnward_drift_p_value{{{FEATURES}}}))", "{{feature}}"),
            width=8,
            top=1,
        ),
    ]


def _score():
    return [
        row("The score, and how much the windows hold"),
        graph(
            "Drift of the score over time",
            "PSI and Jensen–Shannon distance of the probabilities. With features that drift: the inputs changed. "
            "Without: look whether the right version serves.",
            "none",
            query(f"max by (model, version) (onnward_drift_psi{{{SCORE}}})", "PSI {{model}} {{version}}"),
            query(
                f"max by (model, version) (onnward_drift_js_distance{{{SCORE}}})", "JS distance {{model}} {{version}}"
            ),
        ),
        graph(
            "Rows in the windows",
            "And what a verdict needs. Below that line no drift is told: more traffic, longer windows, or a lower "
            "drift.min_rows.",
            "short",
            query(
                f"min by (model, version, window) (onnward_drift_window_rows{{{VERSION}}})",
                "{{model}} {{version}} {{window}}",
            ),
            query(f"max by (model, version) (onnward_drift_min_rows{{{VERSION}}})", "{{model}} {{version}} needed"),
        ),
    ]


def _compared(title, figure, description, width):
    return graph(
        title,
        description,
        "none",
        query(f"min by (model, version) ({_figure('online_performance', figure)})", "measured {{model}} {{version}}"),
        query(
            f"min by (model, version) ({_figure('estimated_performance', figure)})", "estimated {{model}} {{version}}"
        ),
        query(f"max by (model, version) ({_figure('model_evaluation', figure)})", "in training {{model}} {{version}}"),
        width=width,
        top=1,
    )


def _performance():
    return [
        row("Performance: measured against outcomes, estimated before they arrive, and in training"),
        _compared(
            "ROC AUC",
            "roc_auc",
            "How well positives are told from negatives. Measured 0.05 below training for long: retrain, or roll "
            "back if it began at a swap.",
            12,
        ),
        _compared(
            "Accuracy",
            "accuracy",
            "Share of right decisions at the threshold. It falls and ROC AUC does not: the threshold or the "
            "calibration is off, not the ranking.",
            12,
        ),
        _compared(
            "Precision",
            "precision",
            "Share of the positive decisions that are right. It falls: a campaign speaks to more people in vain, "
            "raise the threshold in the next version.",
            8,
        ),
        _compared(
            "Recall",
            "recall",
            "Share of the positives that are found. It falls: customers leave unnoticed, lower the threshold in "
            "the next version.",
            8,
        ),
        graph(
            "Calibration error and Brier score",
            "Lower is better. Calibration over 0.1: probabilities and revenue at risk are not to be used until "
            "the model is retrained.",
            "none",
            query(
                f'max by (model, version, figure) (onnward_online_performance{{{VERSION},figure=~"calibration_error|brier"}})',
                "{{figure}} {{model}} {{version}}",
            ),
            width=8,
        ),
    ]


def _over_all_engines(figure):
    """A mean over outcomes, such as accuracy, over all engines: each engine's counts as often as its outcomes."""
    outcomes = f"onnward_online_outcomes{{{VERSION}}}"
    weighted = f"{_figure('online_performance', figure)} * on (job, instance, model, version) {outcomes}"
    return f"sum by (model, version) ({weighted}) / sum by (model, version) ({outcomes})"


def _together():
    return [
        row("All engines together"),
        graph(
            "Accuracy and Brier score of all engines",
            "Over the outcomes of all engines, as one engine would measure them. It differs from the engines' own: "
            "they see different customers. For ROC AUC and drift of all: onnward-exporter performance and drift.",
            "none",
            query(_over_all_engines("accuracy"), "accuracy {{model}} {{version}}"),
            query(_over_all_engines("brier"), "Brier score {{model}} {{version}}"),
            width=8,
            top=1,
        ),
        graph(
            "Outcomes behind them",
            "In the windows of all engines. Few: wait before you judge. It falls at a restart: the engine's "
            "outcomes.folder is not kept.",
            "short",
            query(f"sum by (model, version) (onnward_online_outcomes{{{VERSION}}})", "{{model}} {{version}}"),
            width=8,
        ),
        graph(
            "Engines that see drift",
            "By feature. All of them: the customers or the data changed. One of several: look how its traffic "
            "differs, and add them with onnward-exporter drift.",
            "short",
            query(f"sum by (feature) (onnward_drift_detected{{{FEATURES}}}) > 0 or vector(0)", "{{feature}}"),
            width=8,
        ),
    ]


def _outcomes():
    return [
        row("Outcomes"),
        graph(
            "Outcomes",
            "Outcomes per second, by result. Contradicting: two sources disagree about one customer. Late: received "
            "after the retention of predictions; lengthen it.",
            "cps",
            query(f"sum by (result) (rate(onnward_outcomes_total{{{VERSION}}}[$__rate_interval]))", "{{result}}"),
            query(f"sum(rate(onnward_outcomes_unknown_total{{{ENGINE}}}[$__rate_interval]))", "unknown"),
            width=8,
        ),
        graph(
            "Unknown outcomes",
            "Share that belongs to no stored prediction. Over 10 %: runbook, OnnwardOutcomesNotJoined; it is "
            "mostly a wrong key.",
            "percentunit",
            query(f"job:onnward_unknown_outcomes:ratio_rate1h{{{JOB}}}", "unknown"),
            width=8,
            top=1,
        ),
        graph(
            "Coverage",
            "Share of the predictions whose outcome is known, by version. It falls to 0: outcomes are not posted "
            "any more.",
            "percentunit",
            query(f"min by (model, version) (onnward_outcome_coverage_ratio{{{VERSION}}})", "{{model}} {{version}}"),
            width=8,
            top=1,
        ),
        graph(
            "Outcomes in the window",
            "Those that the measured figures are made of. Under 200 they are noise, and no alert fires on them.",
            "short",
            query(f"sum by (model, version) (onnward_online_outcomes{{{VERSION}}})", "{{model}} {{version}}"),
            width=8,
        ),
        graph(
            "Stored predictions",
            "Those that an outcome can be joined to. At the bound of the store the oldest go: raise the bound, or "
            "shorten the retention.",
            "short",
            query(f"onnward_stored_predictions{{{ENGINE}}}", "{{instance}}"),
            width=8,
        ),
        graph(
            "Size of the store",
            "Of the file of predictions. It grows to what `outcomes.max_predictions` allows and stays there; if "
            "the disk is smaller, lower that.",
            "bytes",
            query(f"onnward_prediction_store_bytes{{{ENGINE}}}", "{{instance}}"),
            width=8,
        ),
        graph(
            "Predictions not kept",
            "A second, by reason: the store is too slow, or cannot be written. Above 0: runbook, "
            "OnnwardPredictionsNotStored.",
            "cps",
            query(
                f"sum by (instance, reason) (rate(onnward_predictions_not_stored_total{{{ENGINE}}}[$__rate_interval]))",
                "{{instance}} {{reason}}",
            ),
            width=12,
        ),
        graph(
            "Captured requests",
            "Written for a later training, and lost. Lost: runbook, OnnwardCaptureLost. None, although you want "
            "them: capture is off unless configured.",
            "cps",
            query(
                f"sum by (model) (rate(onnward_captured_requests_total{{{MODEL}}}[$__rate_interval]))",
                "{{model}} captured",
            ),
            query(
                f"sum by (model, reason) (rate(onnward_capture_lost_total{{{MODEL}}}[$__rate_interval]))",
                "{{model}} lost, {{reason}}",
            ),
            width=12,
        ),
    ]
