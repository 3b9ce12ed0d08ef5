"""Which versions serve, how they came to, and what they cost to run."""

from panels import (
    ENGINE,
    MODEL,
    RECORDED_VERSION,
    VERSION,
    bad_above,
    dashboard as whole,
    graph,
    heatmap,
    now,
    promotions_not_served,
    quantile,
    query,
    ratio,
    row,
    stat,
    table,
)

RUN = f'onnward_inference_stage_duration_seconds_bucket{{{VERSION},stage="run"}}'


def dashboard():
    panels = [*_state(), *_versions(), *_loading(), *_shape(), *_quality()]
    return whole("onnward-model", "Onnward: models", "Versions, swaps, batches and backends of the models.", panels)


def _state():
    return [
        row("Is the right model served, and does it work?"),
        stat(
            "Version served",
            "The newest version that any engine serves, by model. Not the one you promoted: see “Promotions not "
            "served”.",
            "none",
            now(f"max by (model) (onnward_model_serving_version{{{MODEL}}})", "{{model}}"),
            text=True,
            width=4,
        ),
        stat(
            "Promotions not served",
            "Engines whose served version is not the one that the repository asks for. Above 0 for minutes: "
            "runbook, OnnwardPromotionNotServed.",
            "short",
            now(promotions_not_served()),
            bad_above(1, 1),
            width=4,
        ),
        stat(
            "Swaps that failed",
            "In the last hour. Above 0: GET /models/NAME says the step and the reason under `last_error`; what "
            "was served before still answers.",
            "short",
            now(f'sum(increase(onnward_swaps_total{{{MODEL},outcome="failed"}}[1h])) or vector(0)'),
            bad_above(0.5, 0.5),
            width=4,
            decimals=0,
        ),
        stat(
            "Golden rows that failed",
            "Versions refused in the last hour since they compute other probabilities than the trainer. Above 0: "
            "runbook, OnnwardGoldenRowsFailed.",
            "short",
            now(f'sum(increase(onnward_golden_replays_total{{{MODEL},outcome="failed"}}[1h])) or vector(0)'),
            bad_above(0.5, 0.5),
            width=4,
            decimals=0,
        ),
        stat(
            "Repository last read",
            "The engine that has not read it for the longest. Over 5 minutes: runbook, OnnwardStoreUnreachable; "
            "what is loaded answers.",
            "s",
            now(f"max(onnward_repository_last_success_age_seconds{{{ENGINE}}})"),
            bad_above(60, 300),
            width=4,
        ),
        stat(
            "Rows a second",
            "Scored, by the chosen versions. Nothing, with engines up: no client sends rows.",
            "rowsps",
            query(f"sum(rate(onnward_inference_rows_total{{{VERSION}}}[$__rate_interval]))"),
            width=4,
        ),
    ]


def _versions():
    return [
        row("Versions"),
        graph(
            "Desired and served",
            "Two lines apart are a promotion that has not happened: GET /models/NAME says why. Engines apart for "
            "longer than a look at the repository: one cannot read it.",
            "none",
            query(f"onnward_model_serving_version{{{MODEL}}}", "{{model}} served by {{instance}}"),
            query(f"onnward_model_desired_version{{{MODEL}}}", "{{model}} desired by {{instance}}"),
            steps=True,
        ),
        table(
            "Loaded",
            "Each version in memory, and what for: serving, previous (for a rollback), loaded (for an alias). "
            "More than you want: loaded_versions in the engine's configuration.",
            "none",
            [("loaded", f"onnward_model_version{{{VERSION}}}")],
            sort_by=("model", False),
            hidden=("__name__", "job"),
        ),
        graph(
            "Swaps",
            "By outcome and reason. A failed one: GET /models/NAME, `last_error`. Back and forth: two people "
            "promote, `onnward-exporter versions NAME` shows the aliases.",
            "short",
            query(
                f"sum by (model, outcome, reason) (increase(onnward_swaps_total{{{MODEL}}}[$__rate_interval]))",
                "{{model}} {{outcome}} {{reason}}",
            ),
            bars=True,
        ),
        graph(
            "Golden rows",
            "Replays by outcome, since the engines started. A step in `failed`: the version is refused, runbook, "
            "OnnwardGoldenRowsFailed.",
            "short",
            query(f"sum by (model, outcome) (onnward_golden_replays_total{{{MODEL}}})", "{{model}} {{outcome}}"),
            steps=True,
        ),
    ]


def _loading():
    loads = f"onnward_model_load_seconds_bucket{{{MODEL}}}"
    return [
        row("Loading"),
        graph(
            "Time to load a version",
            "Fetch, checks, golden rows and warm-up, since the engines started. Over a minute: a slow store, or a "
            "very large model.",
            "s",
            query(f"histogram_quantile(0.5, sum by (model, le) ({loads}))", "{{model}} half"),
            query(f"histogram_quantile(0.99, sum by (model, le) ({loads}))", "{{model}} 99 %"),
        ),
        graph(
            "Repository last read, by engine",
            "A saw of a few seconds is right; a line that climbs is a store that does not answer: runbook, "
            "OnnwardStoreUnreachable.",
            "s",
            query(f"onnward_repository_last_success_age_seconds{{{ENGINE}}}", "{{instance}}"),
        ),
    ]


def _shape():
    of_version = ["model", "version", "backend"]
    return [
        row("Batches and backends"),
        graph(
            "Rows",
            "Scored a second, by version and backend. The previous version still scores long after a swap: a "
            "client names the version in its path.",
            "rowsps",
            query(
                f"sum by (model, version, backend) (rate(onnward_inference_rows_total{{{VERSION}}}[$__rate_interval]))",
                "{{model}} {{version}} {{backend}}",
            ),
            width=8,
        ),
        graph(
            "Requests and executions",
            "Fewer executions than requests: batching works. As many: traffic is light, or batches do not pay for "
            "this model.",
            "ops",
            query(
                f"sum by (model) (rate(onnward_inference_requests_total{{{VERSION}}}[$__rate_interval]))",
                "{{model}} requests",
            ),
            query(
                f"sum by (model) (rate(onnward_inference_executions_total{{{VERSION}}}[$__rate_interval]))",
                "{{model}} executions",
            ),
            width=8,
        ),
        graph(
            "Rows an execution",
            "The mean batch. It grows with load by itself. At 1 under load: batching.max_batch_rows is 1, or a "
            "batch costs as much as its rows one by one.",
            "short",
            query(
                f"model:onnward_inference_rows_per_execution:ratio_rate5m{{{RECORDED_VERSION}}}",
                "{{model}} {{version}}",
            ),
            width=8,
        ),
        heatmap(
            "Batches",
            "How many executions had how many rows. Two bands: single requests beside a client that sends large ones.",
            "short",
            f"sum by (le) (increase(onnward_inference_batch_rows_bucket{{{VERSION}}}[$__rate_interval]))",
        ),
        graph(
            "Executions by backend",
            "What runs the model. Not the one you expect: GET /models/NAME shows what each costs; `backend` in "
            "the configuration decides.",
            "ops",
            query(
                f"sum by (model, version, backend) (rate(onnward_inference_executions_total{{{VERSION}}}[$__rate_interval]))",
                "{{model}} {{version}} {{backend}}",
            ),
            stack=True,
        ),
        graph(
            "Run time of an execution",
            "99 % of the executions are faster. Higher after a swap: the new model is larger; if it is too slow, "
            "roll back.",
            "s",
            query(quantile(0.99, of_version, RUN), "{{model}} {{version}} {{backend}}"),
            log=True,
        ),
        graph(
            "Run time of a row",
            "The mean, in the backend. Compare versions and backends here before you promote: an alias has a "
            "version loaded beside the served one.",
            "s",
            query(
                ratio(
                    of_version,
                    f'onnward_inference_stage_duration_seconds_sum{{{VERSION},stage="run"}}',
                    f"onnward_inference_rows_total{{{VERSION}}}",
                ),
                "{{model}} {{version}} {{backend}}",
            ),
        ),
    ]


def _quality():
    return [
        row("What the versions reached when they were trained"),
        table(
            "Evaluation",
            "Of rows held out in training. A version below the one before it: do not promote it; what it is worth "
            "on live rows is on the dashboard on drift and outcomes.",
            "none",
            [("value", f"max by (model, version, figure) (onnward_model_evaluation{{{VERSION}}})")],
            sort_by=("figure", False),
            width=12,
        ),
        graph(
            "ROC AUC in evaluation",
            "By loaded version. A promotion that lowers it by more than noise (0.01) wants a reason.",
            "none",
            query(
                f'max by (model, version) (onnward_model_evaluation{{{VERSION},figure="roc_auc"}})',
                "{{model}} {{version}}",
            ),
            steps=True,
            top=1,
        ),
    ]
