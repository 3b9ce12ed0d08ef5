"""What all dashboards are made of: panels, variables, links, and the labels that queries select by."""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24

# What a query selects, from the engine down to a version; recording rules have no instance.
JOB = 'job="onnward"'
ENGINE = f'{JOB},instance=~"$instance"'
MODEL = f'{ENGINE},model=~"$model"'
VERSION = f'{MODEL},version=~"$version"'
PREDICT = f'{ENGINE},route=~".*/predict"'
RECORDED_MODEL = f'{JOB},model=~"$model"'
RECORDED_VERSION = f'{RECORDED_MODEL},version=~"$version"'

# Colours by value: the first holds from the lowest value on.
GREEN = (("green", None),)


def bad_above(warning, bad):
    """Green, orange from the first value on, red from the second on."""
    return (("green", None), ("orange", warning), ("red", bad))


def bad_below(bad, warning):
    """Red, orange from the first value on, green from the second on."""
    return (("red", None), ("orange", bad), ("green", warning))


def query(expr, legend="", **more):
    """A query over the dashboard's range."""
    return {"expr": expr, "legendFormat": legend or "__auto", "range": True, "instant": False, **more}


def now(expr, legend="", **more):
    """A query for the end of the dashboard's range alone."""
    return query(expr, legend, range=False, instant=True, **more)


def quantile(q, by, buckets):
    """A quantile of a histogram, by labels."""
    labels = ", ".join([*by, "le"])
    return f"histogram_quantile({q}, sum by ({labels}) (rate({buckets}[$__rate_interval])))"


def ratio(by, numerator, denominator, window="$__rate_interval"):
    """One counter's rate by another's."""
    labels = f" by ({', '.join(by)})" if by else ""
    return f"sum{labels} (rate({numerator}[{window}])) / sum{labels} (rate({denominator}[{window}]))"


def served(series):
    """Of series by version, those of the versions that serve."""
    return f'{series} and on (job, instance, model, version) onnward_model_version{{{VERSION},role="serving"}}'


def promotions_not_served():
    """How many models' promoted versions do not serve, on any engine."""
    desired, serving = (f"onnward_model_{which}_version{{{MODEL}}}" for which in ("desired", "serving"))
    return f"count(({desired} != {serving}) or ({desired} unless {serving})) or vector(0)"


def row(title):
    """A heading between panels."""
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "size": (COLUMNS, 1)}


def _panel(
    kind, title, description, unit, queries, size, defaults=None, options=None, overrides=(), transformations=()
):
    targets = [
        {"refId": chr(ord("A") + index), "datasource": DATASOURCE, **found} for index, found in enumerate(queries)
    ]
    panel = {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": unit, **(defaults or {})}, "overrides": list(overrides)},
        "options": options or {},
        "size": size,
    }
    if transformations:
        panel["transformations"] = list(transformations)
    return panel


def _steps(thresholds):
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in thresholds]}


def stat(title, description, unit, found, thresholds=GREEN, width=3, text=False, none="no data", decimals=None):
    """One number with a colour; `text` shows the series' name beside it."""
    defaults = {"color": {"mode": "thresholds"}, "thresholds": _steps(thresholds), "noValue": none, "mappings": []}
    if decimals is not None:
        defaults["decimals"] = decimals
    options = {
        "colorMode": "background",
        "graphMode": "none" if found["instant"] else "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "value_and_name" if text else "auto",
        "wideLayout": True,
    }
    return _panel("stat", title, description, unit, [found], (width, 4), defaults, options)


def graph(
    title, description, unit, *queries, width=12, height=8, stack=False, steps=False, bars=False, top=None, log=False
):
    """Lines over time; `stack` on one another, as `steps`, or as `bars`; `top` is where the axis ends."""
    custom = {
        "drawStyle": "bars" if bars else "line",
        "lineInterpolation": "stepAfter" if steps else "linear",
        "fillOpacity": 60 if stack or bars else 8,
        "lineWidth": 1,
        "showPoints": "never",
        "stacking": {"group": "A", "mode": "normal" if stack else "none"},
        "scaleDistribution": {"type": "log", "log": 10} if log else {"type": "linear"},
    }
    defaults = {"custom": custom, "color": {"mode": "palette-classic"}, "min": 0}
    if log:
        del defaults["min"]
    if top is not None:
        defaults["max"] = top
    options = {
        "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel("timeseries", title, description, unit, queries, (width, height), defaults, options)


def heatmap(title, description, unit, expr, width=12, height=8):
    """How often each bucket of a histogram was hit, over time."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "mode": "scheme",
            "scheme": "Oranges",
            "steps": 64,
            "exponent": 0.5,
            "reverse": False,
            "scale": "exponential",
            "fill": "dark-orange",
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }
    found = query(expr, "{{le}}", format="heatmap")
    custom = {"scaleDistribution": {"type": "linear"}, "hideFrom": {"legend": False, "tooltip": False, "viz": False}}
    return _panel("heatmap", title, description, unit, [found], (width, height), {"custom": custom}, options)


def bars(title, description, unit, expr, legend, thresholds=GREEN, width=12, height=8, top=None):
    """One bar for each series, as it is now."""
    defaults = {"color": {"mode": "thresholds"}, "thresholds": _steps(thresholds), "min": 0}
    if top is not None:
        defaults["max"] = top
    options = {
        "displayMode": "gradient",
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False},
        "maxVizHeight": 300,
        "minVizHeight": 16,
        "minVizWidth": 8,
        "namePlacement": "auto",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
        "sizing": "auto",
        "valueMode": "color",
    }
    return _panel("bargauge", title, description, unit, [now(expr, legend)], (width, height), defaults, options)


def table(title, description, unit, columns, sort_by=None, hidden=(), thresholds=None, width=12, height=8):
    """A line for each set of labels; `columns` are (heading, query) and are joined by their labels. `thresholds` colour a
    column by its heading."""
    queries = [now(expr, format="table") for _, expr in columns]
    letters = [chr(ord("A") + index) for index in range(len(columns))]
    only = len(columns) == 1
    renamed = {"Value" if only else f"Value #{letter}": heading for letter, (heading, _) in zip(letters, columns)}
    hide = {name: True for name in ("Time", *hidden)}
    transformations = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": hide, "indexByName": {}, "renameByName": renamed}},
    ]
    overrides = [
        {
            "matcher": {"id": "byName", "options": heading},
            "properties": [
                {"id": "thresholds", "value": _steps(steps)},
                {"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}},
            ],
        }
        for heading, steps in (thresholds or {}).items()
    ]
    sort = [{"displayName": sort_by[0], "desc": sort_by[1]}] if sort_by else []
    options = {
        "cellHeight": "sm",
        "showHeader": True,
        "sortBy": sort,
        "footer": {"show": False, "countRows": False, "reducer": ["sum"], "fields": ""},
    }
    custom = {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True, "inspect": False}
    defaults = {"custom": custom, "color": {"mode": "thresholds"}, "thresholds": _steps(GREEN)}
    return _panel(
        "table", title, description, unit, queries, (width, height), defaults, options, overrides, transformations
    )


def _placed(panels):
    """Gives each panel its number and its place: from left to right, a new line where one is full."""
    x = y = tallest = 0
    placed = []
    for number, panel in enumerate(panels, start=1):
        width, height = panel["size"]
        if x + width > COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        rest = {key: value for key, value in panel.items() if key != "size"}
        placed.append({"id": number, "gridPos": {"x": x, "y": y, "w": width, "h": height}, **rest})
        x, tallest = x + width, max(tallest, height)
    return placed


def _variable(name, label, expr):
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": expr, "refId": name},
        "refresh": 2,
        "sort": 4,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "hide": 0,
        "options": [],
        "regex": "",
        "skipUrlSync": False,
    }


def choice(name, label, values):
    """A variable with values that are known."""
    options = [{"selected": index == 0, "text": value, "value": value} for index, value in enumerate(values)]
    return {
        "name": name,
        "label": label,
        "type": "custom",
        "query": ",".join(values),
        "options": options,
        "current": options[0],
        "multi": False,
        "includeAll": False,
        "hide": 0,
        "skipUrlSync": False,
    }


def _variables():
    source = {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"selected": True, "text": "Prometheus", "value": "prometheus"},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
    }
    return [
        source,
        _variable("instance", "Instance", f"label_values(onnward_build_info{{{JOB}}}, instance)"),
        _variable("model", "Model", f"label_values(onnward_model_version{{{ENGINE}}}, model)"),
        _variable("version", "Version", f"label_values(onnward_model_version{{{MODEL}}}, version)"),
    ]


def _swaps():
    """A mark on all graphs where another version was put into service."""
    return {
        "name": "Another version serves",
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": "blue",
        "target": {
            "refId": "swaps",
            "expr": f"max by (model) (changes(onnward_model_serving_version{{{MODEL}}}[$__rate_interval])) > 0",
        },
        "titleFormat": "Another version of {{model}} serves",
        "type": "dashboard",
    }


def dashboard(uid, title, description, panels, variables=()):
    """A whole dashboard, with the variables that all share and links to the others."""
    others = {
        "type": "dashboards",
        "title": "Onnward",
        "tags": ["onnward"],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "dashboard",
        "tooltip": "",
        "url": "",
    }
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["onnward"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "annotations": {"list": [_swaps()]},
        "links": [others],
        "templating": {"list": [*_variables(), *variables]},
        "panels": _placed(panels),
    }
