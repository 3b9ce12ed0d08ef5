//! Comparisons in the shape of a training run's, their figures from simulated scores.

use std::collections::BTreeMap;

use onnward_models::{
    Baseline, BinaryCurves, CalibrationBin, Candidate, Comparison, Curves, DataSummary, Family,
    FeatureSummary, Group, Importance, LabelSummary, ValueSummary,
};
use onnward_schemas::{BinaryFigures, Confusion, Criterion, CrossValidation, Figures, SCORE_BINS, TaskKind};

/// A categorical feature: its name, and each value with its rows and its positives.
type Category<'a> = (&'a str, &'a [(&'a str, usize, usize)]);

/// Returns two models on a table like the published telephone company's.
pub(super) fn telco() -> Comparison {
    let categories: [Category<'_>; 9] = [
        ("Contract", &[("Month-to-month", 3875, 1655), ("One year", 1473, 166), ("Two year", 1695, 48)]),
        ("InternetService", &[("DSL", 2421, 459), ("Fiber optic", 3096, 1297), ("No", 1526, 113)]),
        ("OnlineSecurity", &[("No", 3498, 1461), ("No internet service", 1526, 113), ("Yes", 2019, 295)]),
        (
            "PaymentMethod",
            &[
                ("Bank transfer (automatic)", 1544, 258),
                ("Credit card (automatic)", 1522, 232),
                ("Electronic check", 2365, 1071),
                ("Mailed check", 1612, 308),
            ],
        ),
        ("TechSupport", &[("No", 3473, 1446), ("No internet service", 1526, 113), ("Yes", 2044, 310)]),
        ("PaperlessBilling", &[("No", 2872, 469), ("Yes", 4171, 1400)]),
        ("SeniorCitizen", &[("0", 5901, 1393), ("1", 1142, 476)]),
        ("StreamingMovies", &[("No", 2785, 938), ("No internet service", 1526, 113), ("Yes", 2732, 818)]),
        ("gender", &[("Female", 3488, 939), ("Male", 3555, 930)]),
    ];
    let mut features = vec![
        numeric("tenure", 0, [0.0, 32.371, 29.0, 72.0], &[2186, 1024, 832, 762, 832, 1407], 0.48),
        numeric(
            "MonthlyCharges",
            0,
            [18.25, 64.7617, 70.35, 118.75],
            &[1653, 717, 1013, 1532, 1408, 720],
            0.2,
        ),
        numeric(
            "TotalCharges",
            11,
            [18.8, 2283.3004, 1397.475, 8684.8],
            &[3361, 1264, 859, 766, 543, 239],
            0.4,
        ),
    ];
    for (name, values) in categories {
        let values = values.iter().map(|&(name, rows, positives)| group(name, rows, positives)).collect();
        features.push(FeatureSummary {
            name: name.to_owned(),
            missing: 0,
            values: ValueSummary::Categorical { values },
        });
    }
    let names: Vec<&str> = features.iter().map(|feature| feature.name.as_str()).collect();
    let candidates = vec![
        candidate(Family::Forest, (0.8466, 1.78), &names, 11, 0.412),
        candidate(Family::Logistic, (0.8455, 1.74), &names, 12, 0.031),
    ];
    comparison("telco", "Churn", candidates, features)
}

/// Returns one model on a small table of another kind.
pub(super) fn bank() -> Comparison {
    let values = vec![group("France", 401, 64), group("Germany", 199, 65)];
    let features = vec![
        numeric("Age", 3, [18.0, 38.9, 37.0, 92.0], &[150, 250, 120, 60, 17], 0.1),
        FeatureSummary {
            name: "Geography".to_owned(),
            missing: 0,
            values: ValueSummary::Categorical { values },
        },
        numeric("CreditScore", 0, [350.0, 650.5, 652.0, 850.0], &[30, 100, 240, 160, 70], 0.2),
    ];
    let names: Vec<&str> = features.iter().map(|feature| feature.name.as_str()).collect();
    let candidates = vec![candidate(Family::Logistic, (0.766, 1.2), &names, 5, 0.004)];
    comparison("bank", "Exited", candidates, features)
}

/// Returns four models, with sixty long feature names and forty values per category.
pub(super) fn large() -> Comparison {
    let values: Vec<Group> = (0..40)
        .map(|index| {
            let name = format!("Region {index} with an unusually long official name");
            group(&name, 400 - index * 9, 20 + index / 2)
        })
        .collect();
    let features: Vec<FeatureSummary> = (0..60)
        .map(|index| match index % 2 {
            0 => numeric(
                &format!("average_monthly_balance_over_the_last_{index}_billing_periods"),
                index,
                [-1250.5, 1e6, 0.0005, 3.2e9],
                &[10, 300, 5000, 0, 20],
                0.3,
            ),
            _ => FeatureSummary {
                name: format!("RegionOfTheBranchThatOpenedTheAccountNumber{index}"),
                missing: 0,
                values: ValueSummary::Categorical { values: values.clone() },
            },
        })
        .collect();
    let names: Vec<&str> = features.iter().map(|feature| feature.name.as_str()).collect();
    let families = [Family::Logistic, Family::Forest, Family::Logistic, Family::Forest];
    let candidates = families
        .into_iter()
        .zip(0u64..)
        .map(|(family, index)| {
            let distance = index as f64;
            let strength = (0.86 - 0.02 * distance, 2.0 - 0.3 * distance);
            candidate(family, strength, &names, 20 + index, 75.0)
        })
        .collect();
    comparison("large", "has_left", candidates, features)
}

fn comparison(
    schema: &str,
    label: &str,
    candidates: Vec<Candidate>,
    features: Vec<FeatureSummary>,
) -> Comparison {
    let test = candidates[0].test.clone();
    let confusion = test.binary().unwrap().confusion;
    let test_rows = (confusion.true_positives
        + confusion.false_positives
        + confusion.true_negatives
        + confusion.false_negatives) as usize;
    Comparison {
        schema: schema.to_owned(),
        label: label.to_owned(),
        task: TaskKind::Binary,
        threshold: Some(0.5),
        classes: Vec::new(),
        seed: 42,
        data: DataSummary {
            rows: 7043,
            skipped_rows: 0,
            label: LabelSummary::Binary { positives: 1869 },
            label_values: None,
            sha256: "16320c9c1ec72448db59aa0a26a0b95401046bef5d02fd3aeb906448e3055e91".to_owned(),
            features,
        },
        train_rows: 5634,
        test_rows,
        selected: candidates[0].estimator,
        baseline: Baseline { name: "the share of positives", test },
        candidates,
    }
}

fn group(name: &str, rows: usize, positives: usize) -> Group {
    Group { name: name.to_owned(), rows, label: LabelSummary::Binary { positives } }
}

fn numeric(name: &str, missing: usize, figures: [f64; 4], rows: &[usize], share: f64) -> FeatureSummary {
    let [min, mean, median, max] = figures;
    let width = (max - min) / rows.len() as f64;
    let bins = rows
        .iter()
        .enumerate()
        .map(|(index, &rows)| {
            let edge = |index: usize| min + index as f64 * width;
            let name = format!("{:.0} to {:.0}", edge(index), edge(index + 1));
            group(&name, rows, (rows as f64 * share / (index + 1) as f64) as usize)
        })
        .collect();
    FeatureSummary {
        name: name.to_owned(),
        missing,
        values: ValueSummary::Numeric { min, mean, median, max, bins },
    }
}

fn candidate(
    family: Family,
    (mean, strength): (f64, f64),
    features: &[&str],
    seed: u64,
    fit_seconds: f64,
) -> Candidate {
    let scored = simulate(1409, strength, seed);
    let importance = features
        .iter()
        .enumerate()
        .map(|(rank, name)| Importance {
            feature: (*name).to_owned(),
            criterion: Criterion::RocAuc,
            loss: 0.11 * (-0.45 * rank as f64).exp() - 0.0006,
            loss_std: 0.006 / (1.0 + rank as f64) + 0.0004,
        })
        .collect();
    let parameters = match family {
        Family::Logistic | Family::Ridge => BTreeMap::from([("alpha".to_owned(), 1.0)]),
        Family::Forest => {
            BTreeMap::from([("trees".to_owned(), 300.0), ("min_samples_leaf".to_owned(), 10.0)])
        }
    };
    Candidate {
        estimator: family.into(),
        parameters,
        cross_validation: CrossValidation {
            criterion: Criterion::RocAuc,
            folds: vec![mean - 0.012, mean + 0.004, mean - 0.003, mean + 0.014, mean - 0.003],
            mean,
            std: 0.0086,
        },
        test: figures(&scored),
        curves: Curves::Binary(curves(&scored)),
        importance,
        fit_seconds,
    }
}

/// Returns rows as (probability, whether positive), highest probability first. The probabilities are right on
/// average.
fn simulate(rows: usize, strength: f64, seed: u64) -> Vec<(f64, bool)> {
    let mut state = seed;
    let mut uniform = || {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut scored: Vec<(f64, bool)> = (0..rows)
        .map(|_| {
            let normal = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
            let probability = 1.0 / (1.0 + (1.55 - strength * normal).exp());
            (probability, uniform() < probability)
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored
}

fn figures(scored: &[(f64, bool)]) -> Figures {
    let mut confusion = Confusion::default();
    for &(probability, positive) in scored {
        match (probability >= 0.5, positive) {
            (true, true) => confusion.true_positives += 1,
            (true, false) => confusion.false_positives += 1,
            (false, false) => confusion.true_negatives += 1,
            (false, true) => confusion.false_negatives += 1,
        }
    }
    let rows = scored.len() as f64;
    let caught = confusion.true_positives as f64;
    let precision = caught / (caught + confusion.false_positives as f64);
    let recall = caught / (caught + confusion.false_negatives as f64);
    let curves = curves(scored);
    let area = curves.roc.windows(2).map(|pair| (pair[1][0] - pair[0][0]) * (pair[0][1] + pair[1][1]) / 2.0);
    let mut reached = 0.0;
    let mut average_precision = 0.0;
    for [recall, precision] in &curves.precision_recall {
        average_precision += (recall - reached) * precision;
        reached = *recall;
    }
    let loss = |&(p, positive): &(f64, bool)| if positive { -p.ln() } else { -(1.0 - p).ln() };
    let squared = |&(p, positive): &(f64, bool)| (p - f64::from(u8::from(positive))).powi(2);
    Figures::Binary(BinaryFigures {
        accuracy: (caught + confusion.true_negatives as f64) / rows,
        precision,
        recall,
        f1: 2.0 * precision * recall / (precision + recall),
        roc_auc: area.sum(),
        average_precision,
        log_loss: scored.iter().map(loss).sum::<f64>() / rows,
        brier: scored.iter().map(squared).sum::<f64>() / rows,
        confusion,
    })
}

fn curves(scored: &[(f64, bool)]) -> BinaryCurves {
    let positives = scored.iter().filter(|row| row.1).count() as f64;
    let negatives = scored.len() as f64 - positives;
    let (mut caught, mut alarms) = (0.0, 0.0);
    let mut curves = BinaryCurves {
        roc: vec![[0.0, 0.0]],
        precision_recall: Vec::new(),
        calibration: Vec::new(),
        positive_scores: vec![0; SCORE_BINS],
        negative_scores: vec![0; SCORE_BINS],
    };
    for &(probability, positive) in scored {
        let bin = ((probability * SCORE_BINS as f64) as usize).min(SCORE_BINS - 1);
        if positive {
            caught += 1.0;
            curves.positive_scores[bin] += 1;
        } else {
            alarms += 1.0;
            curves.negative_scores[bin] += 1;
        }
        curves.roc.push([alarms / negatives, caught / positives]);
        curves.precision_recall.push([caught / positives, caught / (caught + alarms)]);
    }
    let ascending: Vec<(f64, bool)> = scored.iter().rev().copied().collect();
    for bin in ascending.chunks(scored.len().div_ceil(10)) {
        let rows = bin.len() as f64;
        curves.calibration.push(CalibrationBin {
            predicted: bin.iter().map(|row| row.0).sum::<f64>() / rows,
            observed: bin.iter().filter(|row| row.1).count() as f64 / rows,
            rows: bin.len() as u64,
        });
    }
    curves
}
