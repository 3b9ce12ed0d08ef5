use onnward_schemas::fixtures::PHONE;
use onnward_schemas::{Numbers, SchemaFile};

use super::*;
use crate::metrics::MetricsConfig;
use crate::metrics::{LoadedVersion, Role};

/// Returns [`PHONE`]'s schema with a revenue column and a second, open segment.
fn schema() -> Schema {
    let toml =
        PHONE.replace("segments = [\"plan\"]", "segments = [\"plan\", \"region\"]\nrevenue = \"charges\"");
    SchemaFile::parse(&toml).unwrap().schema
}

fn printed(metrics: &Metrics) -> Vec<String> {
    let text = String::from_utf8(metrics.render(&[]).unwrap()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn shows(metrics: &Metrics, expected: &[&str]) {
    let printed = printed(metrics);
    for line in expected {
        assert!(printed.iter().any(|printed| printed == line), "{line} is not in\n{printed:#?}");
    }
}

const NAN: f32 = f32::NAN;
/// months, charges, plan, senior, region.
const ROWS: [[f32; 5]; 4] = [
    [1.0, 10.0, 0.0, 0.0, 1.0],
    [2.0, 20.0, 1.0, 0.0, -1.0],
    [3.0, NAN, 1.0, 1.0, NAN],
    [4.0, 40.0, 0.0, 1.0, 0.0],
];
const PROBABILITIES: [f32; 4] = [0.25, 0.5, 0.75, NAN];

const SEEN: [&str; 16] = [
    r#"onnward_predictions_total{decision="negative",model="phone",version="3"} 1"#,
    r#"onnward_predictions_total{decision="positive",model="phone",version="3"} 2"#,
    r#"onnward_predictions_by_band_total{band="low",model="phone",version="3"} 1"#,
    r#"onnward_predictions_by_band_total{band="medium",model="phone",version="3"} 1"#,
    r#"onnward_predictions_by_band_total{band="high",model="phone",version="3"} 1"#,
    r#"onnward_expected_positives_total{model="phone",version="3"} 1.5"#,
    r#"onnward_revenue_scored_total{model="phone",version="3"} 30"#,
    r#"onnward_revenue_at_risk_total{model="phone",version="3"} 12.5"#,
    r#"onnward_predictions_by_segment_total{model="phone",segment="plan",value="basic",version="3"} 1"#,
    r#"onnward_predictions_by_segment_total{model="phone",segment="plan",value="full",version="3"} 2"#,
    r#"onnward_expected_positives_by_segment_total{model="phone",segment="plan",value="full",version="3"} 1.25"#,
    r#"onnward_predictions_by_segment_total{model="phone",segment="region",value="south",version="3"} 1"#,
    r#"onnward_predictions_by_segment_total{model="phone",segment="region",value="north",version="3"} 0"#,
    r#"onnward_predictions_by_segment_total{model="phone",segment="region",value="unknown",version="3"} 1"#,
    r#"onnward_predictions_by_segment_total{model="phone",segment="region",value="missing",version="3"} 1"#,
    r#"onnward_expected_positives_by_segment_total{model="phone",segment="region",value="missing",version="3"} 0.75"#,
];

#[test]
fn rows_are_counted_by_decision_band_segment_and_revenue_at_once_as_one_by_one() {
    let (at_once, one_by_one) = (Metrics::new().unwrap(), Metrics::new().unwrap());
    let seen = at_once.business("phone", 3, &schema()).unwrap();
    seen.observe(&ROWS.concat(), &PROBABILITIES.to_vec().into());
    shows(&at_once, &SEEN);
    let seen = one_by_one.business("phone", 3, &schema()).unwrap();
    for (row, probability) in ROWS.iter().zip(PROBABILITIES) {
        seen.observe(row, &vec![probability].into());
    }
    shows(&one_by_one, &SEEN);
}

#[test]
fn bands_begin_where_they_are_configured() {
    let config = MetricsConfig { risk_bands: vec![0.5], ..MetricsConfig::default() };
    let metrics = Metrics::configured(&config).unwrap();
    metrics.business("phone", 3, &schema()).unwrap().observe(&ROWS.concat(), &PROBABILITIES.to_vec().into());
    shows(
        &metrics,
        &[
            r#"onnward_predictions_by_band_total{band="low",model="phone",version="3"} 1"#,
            r#"onnward_predictions_by_band_total{band="high",model="phone",version="3"} 2"#,
        ],
    );
    assert!(printed(&metrics).iter().all(|line| !line.contains("medium")));
}

#[test]
fn the_number_of_series_does_not_depend_on_what_clients_send() {
    let metrics = Metrics::new().unwrap();
    let seen = metrics.business("phone", 3, &schema()).unwrap();
    seen.observe(&ROWS.concat(), &PROBABILITIES.to_vec().into());
    let before = printed(&metrics).len();
    for code in [-1.0, NAN, 0.0, 1.0, 2.0, 1e30, f32::INFINITY] {
        seen.observe(&[1.0, 1.0, code, code, code], &vec![0.5].into());
    }
    assert_eq!(printed(&metrics).len(), before);
}

#[test]
fn the_series_of_a_version_end_when_it_is_no_longer_loaded() {
    let metrics = Metrics::new().unwrap();
    let loaded = |version| LoadedVersion { version, role: Role::Serving, backend: "tract" };
    for version in [3, 4] {
        metrics
            .business("phone", version, &schema())
            .unwrap()
            .observe(&ROWS.concat(), &PROBABILITIES.to_vec().into());
    }
    metrics.versions("phone", &[loaded(3), loaded(4)]);
    metrics.versions("phone", &[loaded(4)]);
    assert!(printed(&metrics).iter().all(|line| !line.contains(r#"version="3""#)));
    shows(&metrics, &[r#"onnward_expected_positives_total{model="phone",version="4"} 1.5"#]);
}

#[test]
fn classes_and_numbers_are_counted_by_what_they_are() {
    let metrics = Metrics::new().unwrap();
    let of_task = |task: &str| {
        let text = format!(
            "name = \"plans\"\nversion = 1\n[label]\ncolumn = \"plan\"\n{task}\n[[features]]\nname = \"x\"\ntype = \"numeric\"\n"
        );
        SchemaFile::parse(&text).unwrap().schema
    };
    let three = of_task("type = \"classes\"\nvalues = [\"basic\", \"gold\", \"none\"]");
    let indices = vec![1, 1, ClassPredictions::NONE, 2];
    let classes = PredictedValues::Classes(ClassPredictions { indices, probabilities: None });
    metrics.business("plans", 1, &three).unwrap().observe(&[0.0; 4], &classes.into());
    let numbers = PredictedValues::Numbers(Numbers::Double(vec![-3.0, 5.5, f64::NAN]));
    metrics.business("prices", 1, &of_task("type = \"number\"")).unwrap().observe(&[0.0; 3], &numbers.into());
    shows(
        &metrics,
        &[
            r#"onnward_predictions_total{decision="basic",model="plans",version="1"} 0"#,
            r#"onnward_predictions_total{decision="gold",model="plans",version="1"} 2"#,
            r#"onnward_predictions_total{decision="none",model="plans",version="1"} 1"#,
            r#"onnward_predictions_total{decision="number",model="prices",version="1"} 2"#,
            r#"onnward_predicted_numbers_sum{model="prices",version="1"} 2.5"#,
        ],
    );
}
