//! Every query of `monitoring/`, with its source.

use serde_json::Value;

use crate::support::root;

/// A kind of query.
pub enum QueryKind {
    /// A PromQL query that must have a result.
    Instant(String),
    /// A query for the values of a label in the series of a selector, which must have some.
    LabelValues { label: String, selector: String },
}

/// A query and its source.
pub struct Query {
    /// The dashboard and panel, or the rule.
    pub place: String,
    /// The query itself.
    pub kind: QueryKind,
}

impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            QueryKind::Instant(query) => write!(f, "{}: {query}", self.place),
            QueryKind::LabelValues { label, selector } => write!(f, "{}: {label} of {selector}", self.place),
        }
    }
}

/// Reads every dashboard, by its file's name.
pub fn dashboards() -> Vec<(String, Value)> {
    let entries = std::fs::read_dir(root().join("monitoring/grafana/dashboards")).unwrap();
    let read = |path: std::path::PathBuf| {
        let dashboard = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        (path.file_name().unwrap().display().to_string(), dashboard)
    };
    entries.map(|entry| read(entry.unwrap().path())).collect()
}

/// Returns the panels of a dashboard, without headings.
pub fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

/// Returns the queries of the dashboards: of panels, annotations and variables.
pub fn of_dashboards() -> Vec<Query> {
    let mut queries = Vec::new();
    for (file, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            let place = format!("{file}, {}", panel["title"]);
            let targets = panel["targets"].as_array().unwrap().iter();
            queries.extend(targets.map(|target| query(&place, &target["expr"])));
        }
        for mark in dashboard["annotations"]["list"].as_array().unwrap() {
            queries.push(query(&format!("{file}, {}", mark["name"]), &mark["target"]["expr"]));
        }
        let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
        for variable in variables.filter(|variable| variable["type"] == "query") {
            let place = format!("{file}, the variable {}", variable["name"]);
            queries.push(Query { place, kind: values(variable["query"]["query"].as_str().unwrap()) });
        }
    }
    assert!(queries.len() > 100, "the dashboards' queries were not found");
    queries
}

/// Returns the queries of Grafana's own alert rules.
pub fn of_grafana_alerts() -> Vec<Query> {
    let file = "monitoring/grafana/provisioning/alerting/onnward.yml";
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    let expressions = text.lines().filter_map(|line| line.trim().strip_prefix("expr: '")?.strip_suffix('\''));
    let queries: Vec<Query> = expressions
        .flat_map(selectors)
        .map(|selector| Query { place: file.to_owned(), kind: QueryKind::Instant(selector) })
        .collect();
    assert!(queries.len() >= 3, "the queries of {file} were not found");
    queries
}

/// Returns the queries of a running Prometheus' rules: the series of each recording rule, and the selectors
/// of each alert, which need not fire. Every rule must have been evaluated without an error.
pub fn of_rules(rules: &Value) -> Vec<Query> {
    let groups = rules["data"]["groups"].as_array().unwrap();
    let mut queries = Vec::new();
    for rule in groups.iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        let name = rule["name"].as_str().unwrap();
        assert!(rule["lastError"].is_null() || rule["lastError"] == "", "{rule}");
        let selected = match rule["type"].as_str().unwrap() {
            "recording" => vec![name.to_owned()],
            _ => selectors(rule["query"].as_str().unwrap()),
        };
        assert!(!selected.is_empty(), "{rule}");
        queries.extend(
            selected.into_iter().map(|selector| Query {
                place: format!("the rule {name}"),
                kind: QueryKind::Instant(selector),
            }),
        );
    }
    queries
}

fn query(place: &str, expression: &Value) -> Query {
    let place = place.to_owned();
    Query { place, kind: QueryKind::Instant(with_variables(expression.as_str().unwrap())) }
}

/// Parses `label_values(selector, label)` as Grafana does.
fn values(definition: &str) -> QueryKind {
    let inner = definition.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    let (selector, label) = inner.unwrap().rsplit_once(", ").unwrap();
    QueryKind::LabelValues { label: label.to_owned(), selector: with_variables(selector) }
}

/// Returns a dashboard's query as Grafana sends it if all values of variables are selected.
fn with_variables(expression: &str) -> String {
    let values = [
        ("$__rate_interval", "1m"),
        ("$__range", "5m"),
        ("$instance", ".*"),
        ("$model", ".*"),
        ("$version", ".*"),
        ("$window", "sliding"),
    ];
    let sent = values.iter().fold(expression.to_owned(), |text, (name, value)| text.replace(name, value));
    assert!(!sent.contains('$'), "a variable that the test does not replace: {expression}");
    sent
}

/// Returns the selectors of an expression: metric names with labels, as Prometheus prints them.
fn selectors(expression: &str) -> Vec<String> {
    const METRICS: [&str; 6] = ["onnward_", "process_", "job:", "model:", "up{", "ALERTS{"];
    let starts = expression.char_indices().filter(|(index, _)| {
        let before = expression[..*index].chars().next_back();
        let is_word = before.is_some_and(|before| before.is_alphanumeric() || "_:\"".contains(before));
        !is_word && METRICS.iter().any(|metric| expression[*index..].starts_with(metric))
    });
    starts.map(|(index, _)| selector(&expression[index..]).to_owned()).collect()
}

fn selector(text: &str) -> &str {
    let name = text.find(|c: char| !c.is_alphanumeric() && !"_:".contains(c)).unwrap_or(text.len());
    if !text[name..].starts_with('{') {
        return &text[..name];
    }
    &text[..name + text[name..].find('}').unwrap() + 1]
}

#[test]
fn selectors_are_found_in_an_expression() {
    let expression =
        r#"up{job="a"} == 0 or max by (model) (rate(onnward_x_total{model=~"b"}[5m])) / job:y:ratio"#;
    let expected = [r#"up{job="a"}"#, r#"onnward_x_total{model=~"b"}"#, "job:y:ratio"];
    assert_eq!(selectors(expression), expected);
}
