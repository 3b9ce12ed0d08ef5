//! Compares the figures with those of scikit-learn, and the estimate with NannyML's.

use serde_json::Value;

use super::*;
use crate::estimate::Estimator;

struct Reference {
    predictions: Vec<LabelledPrediction>,
    threshold: f64,
    figures: Value,
}

/// Reads 300 probabilities with ties and with values on the edges of bins, their labels, and the figures from
/// Python.
fn reference() -> Reference {
    let figures: Value = serde_json::from_str(include_str!("../reference.json")).unwrap();
    let list = |name: &str| figures[name].as_array().unwrap().clone();
    let predictions = list("probabilities").into_iter().zip(list("labels")).map(|(probability, label)| {
        LabelledPrediction { probability: probability.as_f64().unwrap() as f32, positive: label == 1 }
    });
    let (predictions, threshold) = (predictions.collect(), figures["threshold"].as_f64().unwrap());
    Reference { predictions, threshold, figures }
}

#[track_caller]
fn close(ours: Option<f64>, theirs: &Value, tolerance: f64, name: &str) {
    let (ours, theirs) = (ours.unwrap(), theirs.as_f64().unwrap());
    assert!((ours - theirs).abs() <= tolerance, "{name}: {ours} and {theirs}");
}

#[test]
fn figures_are_those_of_scikit_learn() {
    let Reference { mut predictions, threshold, figures } = reference();
    let performance = Performance::of(&mut predictions, threshold as f32);
    for (name, value) in performance.figures() {
        close(value, &figures["measured"][name], 1e-9, name);
    }
    let bins = &figures["calibration"];
    assert_eq!(performance.calibration.len(), bins["predictions"].as_array().unwrap().len());
    for (at, bin) in performance.calibration.iter().enumerate() {
        assert_eq!(bin.predictions, bins["predictions"][at].as_u64().unwrap());
        close(Some(bin.mean_probability), &bins["mean_probability"][at], 1e-9, "mean probability");
        close(Some(bin.share_positive), &bins["share_positive"][at], 1e-9, "share of positives");
    }
}

#[test]
fn an_estimate_is_what_the_formula_says_and_its_curve_nearly() {
    let Reference { predictions, threshold, figures } = reference();
    let estimator = Estimator::new(threshold, 1000);
    assert_eq!(estimator.estimate(), None);
    let probabilities: Vec<f32> = predictions.iter().map(|one| one.probability).collect();
    let (first, rest) = probabilities.split_at(7);
    estimator.observe(first);
    estimator.observe(&[f32::NAN, f32::INFINITY]);
    estimator.observe(rest);
    let estimate = estimator.estimate().unwrap();
    assert_eq!(estimate.rows, 300);
    for (name, value) in estimate.figures() {
        // The curve is drawn by bins.
        let tolerance = if name == "roc_auc" { 1e-4 } else { 1e-9 };
        close(value, &figures["estimated"][name], tolerance, name);
    }
}

#[test]
fn an_estimate_covers_the_last_scores() {
    let estimator = Estimator::new(0.5, 100);
    estimator.observe(&[1.0; 100]);
    estimator.observe(&[0.75; 60]);
    let both = estimator.estimate().unwrap();
    assert_eq!((both.rows, both.precision), (160, Some((100.0 + 45.0) / 160.0)));
    estimator.observe(&[0.75; 60]);
    estimator.observe(&[0.75; 10]);
    let last = estimator.estimate().unwrap();
    assert_eq!((last.rows, last.precision), (130, Some(0.75)));
    assert_eq!((last.recall, last.roc_auc), (Some(1.0), Some(0.5)));
}

#[test]
fn what_predictions_do_not_decide_is_not_told() {
    let figures = |predictions: &[(f32, bool)]| {
        let judge = |&(probability, positive)| LabelledPrediction { probability, positive };
        Performance::of(&mut predictions.iter().map(judge).collect::<Vec<_>>(), 0.5)
    };
    let none = figures(&[]);
    assert!(none.figures().iter().all(|(_, value)| value.is_none()) && none.calibration.is_empty());
    let negatives = figures(&[(0.1, false), (0.2, false)]);
    assert_eq!((negatives.roc_auc, negatives.precision, negatives.recall), (None, None, None));
    assert_eq!(negatives.accuracy, Some(1.0));
    let reversed = figures(&[(0.1, true), (0.9, false)]);
    assert_eq!((reversed.roc_auc, reversed.accuracy), (Some(0.0), Some(0.0)));
}

/// Engines that share the traffic: the figures of their counts are those of all predictions, to the last bit.
#[test]
fn counts_of_several_engines_give_the_figures_of_all_predictions() {
    let Reference { predictions, threshold, .. } = reference();
    let mut whole = predictions.clone();
    let expected = Performance::of(&mut whole, threshold as f32);
    let mut counts = Vec::new();
    for engine in 0..3 {
        let engine_of = |index: usize| if index.is_multiple_of(5) { 0 } else { index % 3 };
        let shared = predictions.iter().enumerate().filter(|(index, _)| engine_of(*index) == engine);
        let mut shared: Vec<LabelledPrediction> = shared.map(|(_, one)| *one).collect();
        Performance::of(&mut shared, threshold as f32);
        let text = serde_json::to_string(&ScoreCount::of(&shared)).unwrap();
        counts.extend(serde_json::from_str::<Vec<ScoreCount>>(&text).unwrap());
    }
    let mut all = ScoreCount::predictions(&counts, 1000).unwrap();
    assert_eq!(all.len(), predictions.len());
    assert_eq!(Performance::of(&mut all, threshold as f32), expected);
    assert_eq!(ScoreCount::predictions(&[ScoreCount(0.5, u64::MAX, 1)], u64::MAX), None);
}

#[test]
fn the_estimate_of_several_engines_is_that_of_all_predictions() {
    let Reference { predictions, threshold, .. } = reference();
    let scores: Vec<f32> = predictions.iter().map(|one| one.probability).collect();
    let (whole, engines) = (Estimator::new(threshold, 1000), [0, 1].map(|_| Estimator::new(threshold, 1000)));
    whole.observe(&scores);
    let half = scores.split_at(scores.len() / 3);
    engines[0].observe(half.0);
    engines[1].observe(half.1);
    let text = serde_json::to_string(&engines[1].sums().unwrap()).unwrap();
    let mut sums = engines[0].sums().unwrap();
    sums.join(&serde_json::from_str(&text).unwrap());
    let (combined, expected) = (sums.estimate(), whole.estimate().unwrap());
    assert_eq!(combined.rows, expected.rows);
    for ((name, ours), (_, theirs)) in combined.figures().into_iter().zip(expected.figures()) {
        assert!((ours.unwrap() - theirs.unwrap()).abs() < 1e-12, "{name}");
    }
}

mod of_other_tasks {
    use onnward_schemas::{
        ClassFigures, ClassPredictions, Classes, ErrorProfile, Figures, NumberFigures, NumberSlice, Numbers,
        PredictedValues, Task, TaskKind,
    };

    use super::*;
    use crate::estimate::{ClassEstimator, NumberEstimator, TaskEstimator, TaskSums};

    fn reference() -> Value {
        serde_json::from_str(include_str!("reference.json")).unwrap()
    }

    fn numbers(list: &Value) -> Vec<f64> {
        list.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    }

    fn classes(count: usize) -> Task {
        Task::Classes(Classes { values: (0..count).map(|class| format!("class {class}")).collect() })
    }

    /// Returns 300 predictions of four classes, of which many probabilities are equal, and of a fifth that nothing has.
    fn labelled_classes(reference: &Value) -> Vec<LabelledClass> {
        let of = |name: &str| reference["classes"][name].as_array().unwrap().clone();
        let rows = of("probabilities").into_iter().zip(of("labels")).zip(of("predicted"));
        let labelled = |((probabilities, label), predicted): ((Value, Value), Value)| {
            let single: Vec<f32> = numbers(&probabilities).into_iter().map(|number| number as f32).collect();
            let label = label.as_u64().unwrap() as u32;
            LabelledClass {
                predicted: predicted.as_u64().unwrap() as u32,
                label,
                of_label: LabelProbability::of(label, NumberSlice::Single(&single)),
            }
        };
        rows.map(labelled).collect()
    }

    fn labelled_numbers(reference: &Value) -> Vec<LabelledNumber> {
        let of = |name: &str| numbers(&reference["numbers"][name]);
        of("predicted")
            .into_iter()
            .zip(of("labels"))
            .map(|(number, label)| LabelledNumber(number, label))
            .collect()
    }

    #[test]
    fn figures_of_classes_are_those_of_scikit_learn() {
        let reference = reference();
        let performance = ClassPerformance::of(&mut labelled_classes(&reference), 5);
        for (name, value) in performance.figures() {
            close(value, &reference["classes"]["figures"][name], 1e-6, name);
        }
        assert_eq!(serde_json::to_value(&performance.confusion).unwrap(), reference["classes"]["confusion"]);
    }

    #[test]
    fn figures_of_numbers_are_those_of_scikit_learn_and_numpy() {
        let reference = reference();
        let performance = NumberPerformance::of(&mut labelled_numbers(&reference));
        for (name, value) in performance.figures() {
            close(value, &reference["numbers"]["figures"][name], 1e-9, name);
        }
        for (quantile, expected) in
            performance.error_quantiles.iter().zip(numbers(&reference["numbers"]["quantiles"]))
        {
            assert!((quantile.error - expected).abs() < 1e-9, "{quantile:?} {expected}");
        }
        assert_eq!(performance.error_quantiles.len(), ERROR_QUANTILES.len());
        let counts: Vec<u64> = performance.error_histogram.iter().map(|bin| bin.predictions).collect();
        assert_eq!(serde_json::to_value(counts).unwrap(), reference["numbers"]["histogram"]);
        for (bin, edges) in
            performance.error_histogram.iter().zip(numbers(&reference["numbers"]["edges"]).windows(2))
        {
            assert!(
                (bin.from - edges[0]).abs() < 1e-9 && (bin.to - edges[1]).abs() < 1e-9,
                "{bin:?} {edges:?}"
            );
        }
    }

    #[test]
    fn what_is_not_defined_is_not_told() {
        let none = ClassPerformance::of(&mut [], 3);
        assert!(none.figures().iter().all(|(_, value)| value.is_none()));
        let without = LabelledClass { predicted: 0, label: 0, of_label: None };
        let performance = ClassPerformance::of(&mut [without], ClassFigures::MAX_CONFUSION + 1);
        assert_eq!(
            (performance.log_loss, performance.top_2_accuracy, performance.accuracy),
            (None, None, Some(1.0))
        );
        assert!(performance.confusion.is_empty(), "the matrix would be too large");
        let none = NumberPerformance::of(&mut []);
        assert!(none.figures().iter().all(|(_, value)| value.is_none()) && none.error_histogram.is_empty());
        let one = NumberPerformance::of(&mut [LabelledNumber(3.0, 1.0)]);
        assert_eq!((one.r2, one.rmse, one.error_histogram.len()), (None, Some(2.0), 1));
        let constant = |predicted| {
            NumberPerformance::of(&mut [LabelledNumber(1.0, 1.0), LabelledNumber(predicted, 1.0)]).r2
        };
        assert_eq!([constant(1.0), constant(2.0)], [Some(1.0), Some(0.0)]);
    }

    /// Engines that share the traffic: the figures of their counts are those of all predictions, to the last bit.
    #[test]
    fn counts_of_several_engines_give_the_figures_of_all_predictions() {
        let reference = reference();
        let all = [
            (classes(5), TaskKind::Classes, LabelledPredictions::Classes(labelled_classes(&reference))),
            (Task::Number, TaskKind::Number, LabelledPredictions::Numbers(labelled_numbers(&reference))),
        ];
        for (task, kind, mut whole) in all {
            let parts = [0, 1, 2, 3].map(|engine| match &whole {
                LabelledPredictions::Classes(all) => {
                    LabelledPredictions::Classes(all.iter().skip(engine).step_by(4).copied().collect())
                }
                LabelledPredictions::Numbers(all) => {
                    LabelledPredictions::Numbers(all.iter().skip(engine).step_by(4).copied().collect())
                }
                LabelledPredictions::Binary(_) => panic!("{whole:?}"),
            });
            let expected = whole.performance(&task).unwrap();
            let mut counts = MeasuredCounts::default();
            for mut part in parts {
                part.performance(&task).unwrap();
                let text = serde_json::to_string(&part.counts()).unwrap();
                assert!(counts.join(serde_json::from_str(&text).unwrap()));
            }
            let mut combined = counts.predictions(kind, 1000).unwrap();
            assert_eq!((combined.len(), combined.performance(&task)), (300, Some(expected)));
            assert_eq!(counts.predictions(kind, 299), None);
            assert!(!counts.join(MeasuredCounts::Binary(vec![ScoreCount(0.5, 1, 1)])), "another task");
        }
    }

    #[test]
    fn measured_figures_are_compared_with_those_of_the_training() {
        let training = NumberFigures {
            rmse: 1.0,
            mae: 1.0,
            median_absolute_error: 1.0,
            r2: 0.5,
            mape: None,
            pinball_10: 0.1,
            pinball_50: 0.5,
            pinball_90: 0.9,
            bias: 0.25,
        };
        let mut labelled = LabelledPredictions::Numbers(vec![LabelledNumber(3.0, 1.0)]);
        let performance = labelled.performance(&Task::Number).unwrap();
        let compared = ComparedFigure::all(&performance, &Figures::Number(training));
        let shown: Vec<_> = compared.iter().map(|one| (one.figure, one.difference)).collect();
        assert_eq!(shown, [("rmse", Some(1.0)), ("mae", Some(1.0)), ("bias", Some(1.75)), ("r2", None)]);
    }

    #[test]
    fn the_expected_accuracy_of_classes_is_the_mean_of_the_largest_probability() {
        let predictions = |rows: &[[f64; 3]]| {
            let most =
                |row: &[f64; 3]| (0..3).max_by(|a, b| row[*a as usize].total_cmp(&row[*b as usize])).unwrap();
            PredictedValues::Classes(ClassPredictions {
                indices: rows.iter().map(most).collect(),
                probabilities: Some(Numbers::Double(rows.concat())),
            })
            .into()
        };
        let rows = [[0.5, 0.25, 0.25], [0.125, 0.75, 0.125], [0.25, 0.625, 0.125]];
        let (whole, engines) =
            (ClassEstimator::new(3, 100), [0, 1].map(|_| TaskEstimator::of(&classes(3), None, 100).unwrap()));
        assert_eq!(whole.estimate(), None);
        whole.observe(&predictions(&rows));
        whole.observe(&predictions(&[[f64::NAN, 0.5, 0.5]]));
        let estimate = whole.estimate().unwrap();
        assert_eq!((estimate.rows, estimate.accuracy), (3, Some(0.625)));
        assert_eq!(estimate.confusion, [[0.5, 0.375, 0.0], [0.25, 1.375, 0.0], [0.25, 0.25, 0.0]]);

        engines[0].observe(&predictions(&rows[..1]));
        engines[1].observe(&predictions(&rows[1..]));
        let mut sums = engines[0].sums().unwrap();
        let text = serde_json::to_string(&engines[1].sums().unwrap()).unwrap();
        assert!(sums.join(&serde_json::from_str::<TaskSums>(&text).unwrap()));
        assert_eq!(sums.estimate().figures(), [("accuracy", Some(0.625))]);
    }

    #[test]
    fn an_estimate_of_classes_covers_the_last_predictions() {
        let estimator = ClassEstimator::new(2, 100);
        let observe = |rows: usize, largest: f64| {
            let probabilities = Some(Numbers::Double([largest, 1.0 - largest].repeat(rows)));
            estimator.observe(
                &PredictedValues::Classes(ClassPredictions { indices: vec![0; rows], probabilities }).into(),
            );
        };
        observe(100, 1.0);
        observe(100, 0.75);
        assert_eq!(estimator.estimate().unwrap().accuracy, Some(0.875));
        observe(1, 0.75);
        assert_eq!(estimator.estimate().unwrap().accuracy, Some(0.75));
    }

    #[test]
    fn the_errors_of_numbers_are_expected_by_the_prediction_and_those_of_two_engines_add_up() {
        assert!(TaskEstimator::of(&Task::Number, None, 100).is_none());
        let errors = ErrorProfile { absolute: vec![1.0, 3.0], squared: vec![1.0, 16.0] };
        let estimators = [0, 1].map(|_| NumberEstimator::new(vec![10.0], errors.clone(), 100));
        let numbers = |numbers: &[f64]| PredictedValues::Numbers(Numbers::Double(numbers.to_vec())).into();
        estimators[0].observe(&numbers(&[-5.0, 10.0, f64::NAN]));
        estimators[1].observe(&numbers(&[10.5, 1e300, f64::INFINITY, 11.0]));
        let alone = estimators[0].estimate().unwrap();
        assert_eq!((alone.rows, alone.mae, alone.rmse), (2, Some(1.0), Some(1.0)));
        let [mut sums, more] = estimators.map(|estimator| TaskSums::Number(estimator.sums().unwrap()));
        assert!(sums.join(&more));
        let both = sums.estimate();
        assert_eq!((both.rows(), both.figures()[0]), (5, ("mae", Some(2.2))));
        let json = serde_json::to_value(&sums).unwrap();
        assert_eq!(serde_json::from_value::<TaskSums>(json).unwrap(), sums);
        assert!(both.limits().contains("DLE"));
    }
}
