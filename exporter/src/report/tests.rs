use std::fs;
use std::path::PathBuf;

use onnward_models::{
    BinaryCurves, CalibrationBin, Candidate, Comparison, Curves, Dataset, OnInvalid, SampleFormat,
    TrainingPlan, ValueSummary, train, write_sample,
};
use onnward_schemas::{BinaryFigures, Figures, SchemaFile};
use roxmltree::{Document, ParsingOptions};

use super::fixture::{bank, large, telco};
use super::numbers::{duration, fixed, percent, quantity, range, room_for};
use super::{ReportError, render, write};

/// Parses the page as XML, which it also is, so that every tag and attribute is checked.
fn parse(page: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(page, options).unwrap()
}

/// Returns the visible text of the page.
fn texts(page: &str) -> Vec<String> {
    let document = parse(page);
    let body = document.descendants().find(|node| node.has_tag_name("body")).unwrap();
    body.descendants()
        .filter(|node| node.is_text())
        .filter_map(|node| node.text())
        .map(str::to_owned)
        .collect()
}

/// Returns the figures and the curves of a binary candidate.
fn binary(candidate: &mut Candidate) -> (&mut BinaryFigures, &mut BinaryCurves) {
    match (&mut candidate.test, &mut candidate.curves) {
        (Figures::Binary(figures), Curves::Binary(curves)) => (figures, curves),
        other => panic!("{other:?}"),
    }
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("onnward-report-{name}-{}", std::process::id()))
}

#[test]
fn the_page_names_every_model_feature_and_value_that_it_has_room_for() {
    for comparison in [telco(), bank(), large()] {
        let page = render(&comparison).unwrap();
        let texts = texts(&page);
        let has = |wanted: &str| texts.iter().any(|text| text.contains(wanted));
        for title in ["Logistic regression", "Random forest", "Logistic regression 2", "Random forest 2"]
            .iter()
            .take(comparison.candidates.len())
        {
            assert!(has(title), "{title}");
        }
        for feature in &comparison.data.features {
            assert!(has(&feature.name), "{}", feature.name);
            if let ValueSummary::Categorical { values } = &feature.values {
                let missing = values.iter().filter(|value| !has(&value.name)).count();
                assert_eq!(missing, values.len().saturating_sub(10), "{}", feature.name);
            }
        }
        assert!(has(&comparison.data.sha256));
        assert!(has(&comparison.label));
    }
}

#[test]
fn the_page_loads_nothing_and_runs_nothing() {
    for comparison in [telco(), bank(), large()] {
        let page = render(&comparison).unwrap();
        assert!(!page.contains("http://") && !page.contains("https://"));
        assert!(!page.contains("@import") && !page.contains("url("));
        for node in parse(&page).descendants() {
            let name = node.tag_name().name();
            assert!(!["script", "link", "img", "iframe", "object", "base"].contains(&name), "{name}");
            for attribute in node.attributes() {
                let loads = ["src", "href", "srcset", "action", "data"].contains(&attribute.name());
                assert!(!loads && !attribute.name().starts_with("on"), "{attribute:?}");
            }
        }
    }
}

#[test]
fn hostile_names_stay_text() {
    let hostile = "<script>alert('&\"')</script>";
    let mut comparison = bank();
    comparison.schema = hostile.to_owned();
    comparison.label = hostile.to_owned();
    comparison.data.features[1].name = hostile.to_owned();
    comparison.candidates[0].importance[1].feature = hostile.to_owned();
    comparison.candidates[0].parameters.insert(hostile.to_owned(), 1.0);
    if let ValueSummary::Categorical { values } = &mut comparison.data.features[1].values {
        values[0].name = hostile.to_owned();
    }
    let page = render(&comparison).unwrap();
    assert!(!page.contains("<script"));
    let shown = texts(&page).iter().filter(|text| text.contains(hostile)).count();
    // Eyebrow, label, setting, importance, breakdown and its value, column and its value.
    assert_eq!(shown, 8);
}

#[test]
fn charts_take_their_colours_from_the_page() {
    let page = render(&telco()).unwrap();
    let document = parse(&page);
    let charts: Vec<_> = document.descendants().filter(|node| node.has_tag_name("svg")).collect();
    assert_eq!(charts.len(), 5);
    for chart in charts {
        assert!(chart.attribute("aria-label").is_some_and(|label| !label.is_empty()));
        for node in chart.descendants() {
            for color in ["fill", "stroke"].iter().filter_map(|name| node.attribute(*name)) {
                assert!(color == "none" || color.starts_with("var(--"), "{color}");
            }
        }
    }
}

#[test]
fn the_summary_adds_up_to_a_hundred_customers() {
    for comparison in [telco(), bank(), large()] {
        let page = render(&comparison).unwrap();
        let document = parse(&page);
        let dots = document.descendants().find(|node| node.attribute("class") == Some("dots")).unwrap();
        assert_eq!(dots.children().filter(roxmltree::Node::is_element).count(), 100);
    }
}

#[test]
fn a_narrow_lead_is_called_narrow() {
    let mut comparison = telco();
    assert!(render(&comparison).unwrap().contains("narrowly ahead of logistic regression"));
    comparison.candidates[1].cross_validation.mean = 0.7;
    assert!(render(&comparison).unwrap().contains("clearly ahead of logistic regression"));
    assert!(!render(&bank()).unwrap().contains("ahead of"));
}

#[test]
fn what_reads_the_same_is_called_level() {
    let mut comparison = telco();
    let mean = comparison.candidates[0].cross_validation.mean;
    comparison.candidates[1].cross_validation.mean = mean - 1e-6;
    let page = render(&comparison).unwrap();
    assert!(page.contains("level with logistic regression") && !page.contains("narrowly"));
}

#[test]
fn a_table_without_signal_is_called_so() {
    let mut comparison = telco();
    for candidate in &mut comparison.candidates {
        candidate.cross_validation.mean = 0.507;
        candidate.cross_validation.std = 0.02;
        for bin in &mut binary(candidate).1.calibration {
            bin.predicted = 0.27;
        }
    }
    let page = render(&comparison).unwrap();
    let texts = texts(&page);
    assert!(texts.iter().any(|text| text == "No better than a coin toss"));
    assert!(texts.iter().any(|text| text.contains("should not be acted on")));
    assert!(!page.contains("ahead of") && !page.contains("level with"));
    assert!(texts.iter().any(|text| text == "every customer has the same score"));

    // One model that finds something is enough.
    comparison.candidates[0].cross_validation.mean = 0.6;
    assert!(!render(&comparison).unwrap().contains("No better than a coin toss"));
}

#[test]
fn equal_scores_share_the_lift() {
    let mut comparison = bank();
    let (test, curves) = binary(&mut comparison.candidates[0]);
    test.confusion.true_positives = 20;
    test.confusion.false_negatives = 0;
    test.confusion.false_positives = 0;
    test.confusion.true_negatives = 80;
    let bin = |predicted, observed, rows| CalibrationBin { predicted, observed, rows };
    curves.calibration = vec![bin(0.1, 0.0, 60), bin(0.5, 0.2, 20), bin(0.5, 0.8, 20)];
    let page = render(&comparison).unwrap();
    assert!(
        page.contains(
            "the 40% with the highest scores are positive 2.5 times as often as the average customer"
        )
    );
}

#[test]
fn a_column_without_values_has_no_figures() {
    let mut comparison = bank();
    comparison.data.features[0].values =
        ValueSummary::Numeric { min: 0.0, mean: 0.0, median: 0.0, max: 0.0, bins: Vec::new() };
    let page = render(&comparison).unwrap();
    let table = page.split_once("<table class=\"columns\">").unwrap().1;
    let row = table.split("</tr>").find(|row| row.contains(">Age<")).unwrap();
    assert_eq!(row.matches(">–<").count(), 4);
}

#[test]
fn fit_times_are_shown_and_not_judged() {
    let page = render(&telco()).unwrap();
    let row = page.split("</tr>").find(|row| row.contains("Fit time")).unwrap();
    assert!(row.contains("31 ms") && row.contains("412 ms") && !row.contains(" best"));
}

#[test]
fn both_files_are_written_and_carry_the_same_figures() {
    let scratch = scratch("files");
    let folder = scratch.join("made/if/need/be");
    let comparison = telco();
    for _ in 0..2 {
        let page = write(&comparison, &folder).unwrap();
        assert_eq!(fs::read_to_string(page).unwrap(), render(&comparison).unwrap());
    }
    let json = fs::read_to_string(folder.join("comparison.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    for (candidate, read) in comparison.candidates.iter().zip(json["candidates"].as_array().unwrap()) {
        assert_eq!(read["family"], candidate.estimator.name());
        let figures: Figures = serde_json::from_value(read["test"].clone()).unwrap();
        assert_eq!(figures, candidate.test);
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    fs::remove_dir_all(scratch).unwrap();
}

#[test]
fn what_cannot_be_written_is_named() {
    let file = scratch("taken");
    fs::write(&file, "a file where the folder should be").unwrap();
    let message = write(&bank(), &file).unwrap_err().to_string();
    fs::remove_file(&file).unwrap();
    assert!(message.contains("onnward-report-taken"), "{message}");
}

#[test]
fn degenerate_results_still_make_a_page() {
    let mut comparison = bank();
    let candidate = &mut comparison.candidates[0];
    candidate.importance.clear();
    let (test, curves) = binary(candidate);
    test.confusion = Default::default();
    test.roc_auc = f64::NAN;
    curves.roc.clear();
    curves.calibration.clear();
    curves.positive_scores.fill(0);
    comparison.data.rows = 0;
    let page = render(&comparison).unwrap();
    parse(&page);
    assert!(!page.contains("NaN"));

    comparison.candidates.clear();
    assert!(matches!(render(&comparison), Err(ReportError::NoCandidate)));
}

#[test]
fn the_same_comparison_gives_the_same_page() {
    let page = |comparison: &Comparison| render(comparison).unwrap();
    assert_eq!(page(&large()), page(&large()));
}

#[test]
fn ranges_say_where_their_edges_belong() {
    assert_eq!(range("0 – 6", false), "0 to under 6");
    assert_eq!(range("-1250.5 – 12345.25", true), "−1,250.5 to 12,345.25");
    assert_eq!(range("12000", false), "12,000");
    assert_eq!(range("young – old", false), "young – old");
    assert_eq!([3, 4, 5].map(|all| room_for(all, 3)), [3, 4, 3]);
}

#[test]
fn numbers_read_well() {
    assert_eq!(fixed(-0.0004, 3), "0.000");
    assert_eq!(fixed(-0.0006, 3), "−0.001");
    assert_eq!(fixed(f64::NAN, 3), "–");
    assert_eq!(["0%", "< 0.1%", "0.4%", "27%", "99.6%", "100%"], {
        [0.0, 0.0002, 0.004, 0.265_4, 0.996, 1.0].map(percent)
    });
    assert_eq!(["0", "29", "18.25", "0.125", "−1,204", "12,345,679", "3.20e12"], {
        [0.0, 29.0, 18.25, 0.125, -1204.4, 12_345_678.9, 3.2e12].map(quantity)
    });
    assert_eq!(["< 1 ms", "31 ms", "2.5 s", "1 min 05 s"], [0.0002, 0.031, 2.5, 65.2].map(duration));
}

/// Trains on a sample of a schema with a label of another type.
fn trained(schema: &str) -> Comparison {
    let file = SchemaFile::parse(schema).unwrap();
    let mut table = Vec::new();
    write_sample(&file, 600, 3, SampleFormat::Csv, &mut table, |_| ()).unwrap();
    let path = std::path::Path::new("sample.csv");
    let data = Dataset::parse(&table, path, &file.schema, OnInvalid::Fail).unwrap();
    let plan = TrainingPlan { folds: 2, ..TrainingPlan::for_task(data.labels.task()) };
    train(&data, &plan, &|_| ()).unwrap().comparison
}

const PLANS: &str = include_str!("../../../schemas/plans.toml");
const REASONS: &str = include_str!("../../../schemas/churn_reason.toml");
const VALUE: &str = include_str!("../../../schemas/lifetime_value.toml");
const RENT: &str = include_str!("../../../schemas/rent.toml");

#[test]
fn labels_of_every_type_have_a_page_of_their_own() {
    let classes = ["Log loss", "Macro F1", "Each class against all others", "Classes by feature"];
    let numbers = ["RMSE", "R²", "Quantiles of the errors", "The label by feature"];
    for (schema, wanted, unwanted) in [
        (PLANS, classes, ["Positive", "threshold"]),
        (REASONS, classes, ["Positive", "threshold"]),
        (VALUE, numbers, ["Positive", "probability"]),
        (RENT, numbers, ["Positive", "probability"]),
    ] {
        let comparison = trained(schema);
        let page = render(&comparison).unwrap();
        let texts = texts(&page);
        let has = |wanted: &str| texts.iter().any(|text| text.contains(wanted));
        for text in
            wanted.iter().chain(comparison.classes.iter().map(String::as_str).collect::<Vec<_>>().iter())
        {
            assert!(has(text), "{text} is not on the page of {}", comparison.schema);
        }
        for text in unwanted {
            assert!(!has(text), "{text} is on the page of {}", comparison.schema);
        }
        for feature in &comparison.data.features {
            assert!(has(&feature.name), "{}", feature.name);
        }
        assert!(!page.contains("NaN") && !page.contains("http://") && !page.contains("<script"));
        assert!(page.matches("<svg").count() >= 2 * comparison.candidates.len());
    }
}

/// A label that nothing predicts is called so, for every type.
#[test]
fn predictions_that_are_no_better_than_a_guess_are_called_so() {
    for (schema, headline) in
        [(PLANS, "No better than the most frequent class"), (RENT, "No better than the mean")]
    {
        let mut comparison = trained(schema);
        for candidate in &mut comparison.candidates {
            candidate.cross_validation.mean = 1e9;
        }
        let page = render(&comparison).unwrap();
        assert!(page.contains(headline) && page.contains("should not be acted on"));
    }
}
