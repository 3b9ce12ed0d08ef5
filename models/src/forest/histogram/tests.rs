use ndarray::Array2;
use rand::Rng;

use super::*;
use crate::fitted::{Node, Tree};
use crate::fixtures::{AMOUNT, PLAN, schema};
use crate::forest::{pruned, round_down};

/// Of few values.
const SIZE: &str = r#"{ name = "size", type = "numeric" }"#;

fn noisy_table(rows: usize) -> (Preprocessor, Array2<f32>, Vec<bool>) {
    let mut random = generator(7, Purpose::GoldenRows, 0);
    let mut unit = || random.next_u32() as f32 / u32::MAX as f32;
    let features = Array2::from_shape_fn((rows, 3), |(_, at)| match at {
        0 => unit().powi(3),
        1 => (unit() * 5.0).floor(),
        _ => (unit() * 4.0).floor() - 1.0,
    });
    let labels = features
        .outer_iter()
        .map(|row| row[0] + 0.1 * row[1] + 0.2 * f32::from(u8::from(row[2] == 1.0)) > 0.5 + 0.2 * unit())
        .collect();
    let preprocessor = Preprocessor::fit(&schema(&[AMOUNT, SIZE, PLAN]), features.view()).without_scaling();
    (preprocessor, features, labels)
}

fn params(trees: usize) -> ForestParams {
    ForestParams { trees, min_samples_leaf: 1, min_samples_split: 2, ..ForestParams::default() }
}

fn fitted(rows: usize, params: &ForestParams, seed: u64) -> FittedForest {
    let (preprocessor, features, labels) = noisy_table(rows);
    binary(&preprocessor, &features, &labels, params, seed, &|_| ())
}

fn binary(
    preprocessor: &Preprocessor,
    features: &Array2<f32>,
    labels: &[bool],
    params: &ForestParams,
    seed: u64,
    advance: &(dyn Fn(usize) + Sync),
) -> FittedForest {
    let labels = Labels::Binary(labels.to_vec());
    match fit(preprocessor, features.view(), &labels, params, seed, advance) {
        FittedModel::Forest(forest) => forest,
        other => panic!("{other:?}"),
    }
}

fn probabilities(forest: FittedForest, matrix: &Array2<f32>) -> Vec<f64> {
    FittedModel::Forest(forest).score_rows(matrix.view()).probabilities().unwrap().to_vec()
}

#[test]
fn a_forest_has_every_tree_and_each_is_another_one() {
    let (preprocessor, features, labels) = noisy_table(400);
    let reported = std::sync::atomic::AtomicUsize::new(0);
    let count = |trees| {
        reported.fetch_add(trees, std::sync::atomic::Ordering::Relaxed);
    };
    let forest = binary(&preprocessor, &features, &labels, &params(25), 42, &count);
    assert_eq!(forest.trees.len(), 25);
    assert_eq!(reported.into_inner(), 25);
    for (at, tree) in forest.trees.iter().enumerate() {
        assert!(!forest.trees[..at].contains(tree), "tree {at} occurs twice");
    }
    assert_eq!(forest, fitted(400, &params(25), 42));
    assert_ne!(forest, fitted(400, &params(25), 43));
}

#[test]
fn a_tree_of_depth_one_splits_once_and_deeper_ones_as_often_as_they_may() {
    fn depth(tree: &Tree, node: u32) -> u16 {
        match tree.nodes[node as usize] {
            Node::Leaf { .. } => 0,
            Node::Split { below, above, .. } => 1 + depth(tree, below).max(depth(tree, above)),
        }
    }
    for limit in [1, 2, 3] {
        let params = ForestParams { max_depth: Some(limit), max_features: Some(5), ..params(10) };
        let forest = fitted(400, &params, 42);
        assert_eq!(forest.trees.iter().map(|tree| depth(tree, 0)).max(), Some(limit));
    }
    let limited = ForestParams { max_depth: Some(u16::MAX), ..params(10) };
    assert_eq!(fitted(400, &limited, 42), fitted(400, &params(10), 42));
}

/// The rule by which the rows were parted while the tree grew is the one by which they are scored: with
/// leaves of one row and no bootstrap that could leave rows out, every row finds its own label.
#[test]
fn rows_reach_the_leaves_that_were_grown_for_them() {
    for rows in [200, 3000] {
        let (preprocessor, features, labels) = noisy_table(rows);
        let params = ForestParams { max_features: Some(5), ..params(60) };
        let forest = binary(&preprocessor, &features, &labels, &params, 1, &|_| ());
        let matrix = preprocessor.transform(features.view());
        let right = probabilities(forest, &matrix)
            .iter()
            .zip(&labels)
            .filter(|(probability, label)| (**probability > 0.5) == **label)
            .count();
        assert!(right * 100 > rows * 97, "{right} of {rows}");
    }
}

#[test]
fn leaves_hold_as_many_rows_as_they_must() {
    // A sample of 400 rows has about 253 different ones.
    let params = ForestParams { min_samples_leaf: 90, max_features: Some(5), ..params(20) };
    let forest = fitted(400, &params, 42);
    let leaves = |tree: &Tree| tree.nodes.iter().filter(|node| matches!(node, Node::Leaf { .. })).count();
    assert!(forest.trees.iter().all(|tree| leaves(tree) <= 2));
    assert!(forest.trees.iter().any(|tree| leaves(tree) == 2));
    let none = ForestParams { min_samples_split: 401, ..params };
    assert!(fitted(400, &none, 42).trees.iter().all(|tree| leaves(tree) == 1));
}

#[test]
fn more_values_than_a_byte_has_are_told_apart() {
    let values: Vec<String> = (0..600).map(|value| format!("\"v{value}\"")).collect();
    let place = format!("{{ name = \"place\", type = \"categorical\", values = [{}] }}", values.join(","));
    let features = Array2::from_shape_fn((6000, 1), |(row, _)| (row % 600) as f32);
    let labels: Vec<bool> = (0..6000).map(|row| [254, 255, 599].contains(&(row % 600))).collect();
    let preprocessor = Preprocessor::fit(&schema(&[&place]), features.view());
    let params = ForestParams { max_features: Some(600), ..params(5) };
    let forest = binary(&preprocessor, &features, &labels, &params, 42, &|_| ());
    let matrix = preprocessor.transform(features.view());
    let scores = probabilities(forest, &matrix);
    assert!(scores.iter().zip(&labels).all(|(score, label)| (*score > 0.5) == *label));
}

#[test]
fn a_threshold_lies_between_the_values_that_it_parts() {
    let (preprocessor, features, _) = noisy_table(5000);
    let rows = BinnedRows::new(&preprocessor, features.view());
    for (group, column) in rows.groups.iter().zip([0, 1]) {
        let expected = if column == 0 { bins::BINS } else { 5 };
        assert_eq!(group.bins(), expected);
        for bin in 1..group.bins() {
            let threshold = group.threshold(bin - 1, bin);
            for (row, value) in features.column(column).iter().enumerate() {
                assert_eq!(usize::from(rows.row(row)[column]) < bin, *value <= threshold);
            }
        }
    }
}

#[test]
fn subtrees_that_agree_are_one_leaf_and_children_follow_their_parents() {
    let split = |column, threshold, below, above| Node::Split { column, threshold, below, above };
    let leaf = |value: f32| Node::Leaf { value };
    // The right half agrees on 1, in two steps.
    let nodes = [
        split(2, 0.1, 2, 1),
        split(1, 0.0, 3, 4),
        split(0, -3.5, 5, 6),
        split(0, 7.0, 7, 8),
        leaf(1.0),
        leaf(0.25),
        leaf(0.0),
        leaf(1.0),
        leaf(1.0),
    ];
    let expected = vec![split(2, 0.1, 1, 2), split(0, -3.5, 3, 4), leaf(1.0), leaf(0.25), leaf(0.0)];
    assert_eq!(pruned(&nodes).nodes, expected);
    assert_eq!(pruned::<f32>(&[]).nodes, []);
}

#[test]
fn the_leaves_of_all_trees_add_up_exactly_in_any_order() {
    let (preprocessor, features, _) = noisy_table(400);
    let forest = fitted(400, &ForestParams { min_samples_leaf: 7, ..params(100) }, 42);
    for row in preprocessor.transform(features.view()).outer_iter() {
        let leaves: Vec<f32> =
            forest.trees.iter().map(|tree| *tree.leaf(row.as_slice().unwrap()).unwrap()).collect();
        let exact: f64 = leaves.iter().map(|leaf| f64::from(*leaf)).sum();
        assert_eq!(f64::from(leaves.iter().sum::<f32>()), exact);
        assert_eq!(f64::from(leaves.iter().rev().sum::<f32>()), exact);
        assert!(leaves.iter().all(|leaf| f64::from(1.0 - leaf) == 1.0 - f64::from(*leaf)));
    }
}

#[test]
fn thresholds_are_rounded_down() {
    for value in [0.1, 0.2, -0.1, 1.0, 0.0, 123_456_789.7] {
        let rounded = f64::from(round_down(value));
        assert!(rounded <= value && f64::from(round_down(value).next_up()) > value, "{value}");
    }
}
