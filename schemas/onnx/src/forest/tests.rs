use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Appends a tree of at most `depth` levels in the exporter's order, and returns its first split.
fn grow(lists: &mut TreeLists, random: &mut ChaCha8Rng, depth: u32) -> u32 {
    let split = lists.columns.len();
    lists.columns.push(random.random_range(0..5));
    lists.thresholds.push(random.random());
    lists.modes.push(0);
    for side in 0..2 {
        lists.children[side].push(0);
        lists.leaves[side].push(false);
    }
    for side in 0..2 {
        if depth > 1 && random.random_bool(0.7) {
            lists.children[side][split] = grow(lists, random, depth - 1);
        } else {
            lists.children[side][split] = lists.weights.len() as u32;
            lists.leaves[side][split] = true;
            lists.weights.push(random.random());
        }
    }
    split as u32
}

fn forest(seed: u64) -> TreeLists {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut lists = TreeLists::default();
    for _ in 0..random.random_range(1..20) {
        let depth = random.random_range(1..7);
        let root = grow(&mut lists, &mut random, depth);
        lists.roots.push(root);
    }
    lists
}

fn model(lists: TreeLists) -> ModelProto {
    let node = NodeProto {
        op_type: Some(OPERATOR.to_owned()),
        attribute: lists.into_attributes(),
        ..NodeProto::default()
    };
    let other = NodeProto { op_type: Some("Relu".to_owned()), ..NodeProto::default() };
    let graph = GraphProto { node: vec![other, node], ..GraphProto::default() };
    ModelProto { graph: Some(graph), ..ModelProto::default() }
}

/// Adds up the leaves that a row reaches.
fn sum(lists: &TreeLists, row: &[f32]) -> f64 {
    let leaf = |root: u32| {
        let mut split = root as usize;
        loop {
            let side = usize::from(row[lists.columns[split] as usize] > lists.thresholds[split]);
            let child = lists.children[side][split] as usize;
            if lists.leaves[side][split] {
                return f64::from(lists.weights[child]);
            }
            split = child;
        }
    };
    lists.roots.iter().map(|root| leaf(*root)).sum()
}

#[test]
fn lists_that_were_taken_out_are_what_was_written() {
    for seed in 0..50 {
        let lists = forest(seed);
        let mut written = model(lists.clone());
        assert_eq!(forest_splits(written.graph.as_ref().unwrap()), lists.splits());
        assert_eq!(TreeLists::take_from(&mut written), [lists]);
        let attributes = &written.graph.unwrap().node[1].attribute;
        assert_eq!((attributes.len(), attributes[0].name(), attributes[0].i()), (1, TAKEN_FOREST, 0));
    }
}

#[test]
fn a_node_in_another_form_is_left_as_it_is() {
    let change = |name: &str, changed: AttributeProto| {
        let mut written = model(forest(1));
        let attributes = &mut written.graph.as_mut().unwrap().node[1].attribute;
        attributes.retain(|attribute| attribute.name() != name);
        attributes.push(AttributeProto { name: Some(name.to_owned()), ..changed });
        written
    };
    let number = |i: i64| AttributeProto { i: Some(i), ..AttributeProto::default() };
    let tracks = AttributeProto { ints: vec![0, 1], ..AttributeProto::default() };
    let double = TensorProto { data_type: Some(DataType::Double as i32), ..TensorProto::default() };
    let doubles = AttributeProto { t: Some(double), ..AttributeProto::default() };
    for written in [
        change("aggregate_function", number(0)),
        change("post_transform", number(3)),
        change("n_targets", number(2)),
        change("nodes_missing_value_tracks_true", tracks),
        change("nodes_splits", doubles),
    ] {
        let mut left = written.clone();
        assert_eq!(TreeLists::take_from(&mut left), []);
        assert_eq!(left, written);
    }
}

#[test]
fn the_slices_of_a_forest_sum_up_to_it() {
    for seed in 0..100 {
        let lists = forest(seed);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let max_splits = random.random_range(1..60);
        let mut packed = model(lists.clone());
        let taken = TreeLists::take_from(&mut packed);
        let slices = ForestSlices::new(packed, &taken[0], max_splits);
        let slices = slices.map(|file| TreeLists::take_from_file(&file.unwrap()).unwrap().1.remove(0));
        let slices: Vec<TreeLists> = slices.collect();
        let trees: usize = slices.iter().map(|slice| slice.roots.len()).sum();
        assert_eq!(trees, lists.roots.len());
        assert!(slices.iter().all(|slice| slice.splits() <= max_splits || slice.roots.len() == 1));
        for _ in 0..20 {
            let row: [f32; 5] = random.random();
            let together: f64 = slices.iter().map(|slice| sum(slice, &row)).sum();
            assert!((together - sum(&lists, &row)).abs() < 1e-9, "seed {seed}");
        }
    }
}

#[test]
fn trees_that_share_splits_or_leaves_are_not_separated() {
    for seed in 0..30 {
        let mut lists = forest(seed);
        if lists.roots.len() < 2 {
            continue;
        }
        // The first tree reaches into the last one.
        let last = lists.roots.last().copied().unwrap();
        (lists.children[0][0], lists.leaves[0][0]) = (last, false);
        let mut packed = model(lists);
        let taken = TreeLists::take_from(&mut packed).remove(0);
        assert!(ForestSlices::new(packed, &taken, 1).any(|slice| slice.is_none()), "seed {seed}");
    }
}
