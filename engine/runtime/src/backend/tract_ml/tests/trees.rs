use onnward_onnx::proto::AttributeProto;

use super::cases::{TRANSFORMS, class_labels};
use super::draw::Draw;
use super::graph::{Graph, Value, Values, floats, int, ints, tensor, tensor_of_bytes, text, texts};

const MODES: [&str; 6] = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"];
const COLUMNS: usize = 4;

/// A node of a tree, with its children's numbers in the tree.
struct Node {
    column: i64,
    threshold: f32,
    mode: usize,
    missing_is_true: bool,
    children: Option<[usize; 2]>,
}

/// Draws a tree, whose nodes follow their parents.
fn tree(draw: &mut Draw, modes: &[usize]) -> Vec<Node> {
    let splits = draw.below(7);
    let mut nodes = vec![leaf()];
    for _ in 0..splits {
        let leaves: Vec<usize> = (0..nodes.len()).filter(|index| nodes[*index].children.is_none()).collect();
        let at = draw.one_of(&leaves);
        nodes[at] = Node {
            column: draw.below(COLUMNS) as i64,
            threshold: draw.tie(),
            mode: draw.one_of(modes),
            missing_is_true: draw.chance(),
            children: Some([nodes.len(), nodes.len() + 1]),
        };
        nodes.extend([leaf(), leaf()]);
    }
    nodes
}

fn leaf() -> Node {
    Node { column: 0, threshold: 0.0, mode: 0, missing_is_true: false, children: None }
}

/// What all trees of a graph have in common.
struct Style {
    modes: Vec<usize>,
    tracks_missing: bool,
    is_double: bool,
    targets: Vec<i64>,
    is_positive: bool,
}

impl Style {
    /// Draws a style. `targets` are those that leaves have weights for.
    fn draw(draw: &mut Draw, targets: &[usize]) -> Self {
        let modes = match draw.below(4) {
            0 => vec![0],
            1 => vec![1],
            2 => vec![draw.below(6)],
            _ => (0..6).collect(),
        };
        Self {
            modes,
            tracks_missing: draw.chance(),
            is_double: draw.below(4) == 0,
            targets: targets.iter().map(|target| *target as i64).collect(),
            is_positive: draw.chance(),
        }
    }

    fn weight(&self, draw: &mut Draw) -> f32 {
        let weight = draw.plain() / 4.0;
        if self.is_positive { weight.abs() / 4.0 } else { weight }
    }
}

/// Returns a list of numbers, as a tensor of doubles if the style says so.
fn listed(style: &Style, name: &str, values: Vec<f32>) -> AttributeProto {
    if !style.is_double {
        return floats(name, values);
    }
    tensor(&format!("{name}_as_tensor"), &Values::of_numbers(values, 1))
}

/// Draws the lists of nodes and of weights, whose names begin with `kind`.
fn lists(draw: &mut Draw, style: &Style, kind: &str, every_leaf: bool) -> Vec<AttributeProto> {
    let trees: Vec<Vec<Node>> = (0..1 + draw.below(6)).map(|_| tree(draw, &style.modes)).collect();
    let mut integers: [Vec<i64>; 6] = Default::default();
    let (mut modes, mut thresholds) = (Vec::new(), Vec::new());
    let (mut weight_lists, mut weights): ([Vec<i64>; 3], Vec<f32>) = Default::default();
    for (number, nodes) in trees.iter().enumerate() {
        for (id, node) in nodes.iter().enumerate() {
            let [passed, failed] = node.children.unwrap_or_default().map(|child| child as i64);
            let entry =
                [number as i64, id as i64, node.column, passed, failed, i64::from(node.missing_is_true)];
            integers.iter_mut().zip(entry).for_each(|(list, value)| list.push(value));
            modes.push(node.children.map_or("LEAF", |_| MODES[node.mode]).to_owned());
            thresholds.push(node.threshold);
            if node.children.is_none() {
                for target in &style.targets {
                    if every_leaf || style.targets.len() == 1 || draw.below(4) > 0 {
                        weight_lists
                            .iter_mut()
                            .zip([number as i64, id as i64, *target])
                            .for_each(|(list, value)| list.push(value));
                        weights.push(style.weight(draw));
                    }
                }
            }
        }
    }
    let names =
        ["treeids", "nodeids", "featureids", "truenodeids", "falsenodeids", "missing_value_tracks_true"];
    let mut attributes: Vec<AttributeProto> =
        names.iter().zip(integers).map(|(name, list)| ints(&format!("nodes_{name}"), list)).collect();
    if !style.tracks_missing {
        attributes.pop();
    }
    attributes.push(texts("nodes_modes", &modes));
    attributes.push(listed(style, "nodes_values", thresholds));
    let names = ["treeids", "nodeids", "ids"];
    attributes
        .extend(names.iter().zip(weight_lists).map(|(name, list)| ints(&format!("{kind}_{name}"), list)));
    attributes.push(listed(style, &format!("{kind}_weights"), weights));
    attributes
}

/// Draws rows whose values are often those at which trees split.
fn rows(draw: &mut Draw, datum: usize) -> Value {
    let rows = draw.rows();
    Value::new(&[rows, COLUMNS], Values::of_numbers(draw.numbers(rows * COLUMNS), datum))
}

pub fn classifier(draw: &mut Draw) -> Graph {
    let targets = draw.one_of(&[vec![0], vec![1], vec![0, 1], vec![0, 1, 2], vec![0, 1, 2, 3, 4]]);
    let classes = targets.len().max(2);
    let style = Style::draw(draw, &targets);
    let every_leaf = classes == 2 || draw.chance();
    let mut attributes = lists(draw, &style, "class", every_leaf);
    attributes.push(class_labels(draw, "classlabels_int64s", classes));
    let transforms = if targets.len() == 1 { &TRANSFORMS[..4] } else { &TRANSFORMS[..] };
    attributes.push(text("post_transform", draw.one_of(transforms)));
    if draw.below(3) == 0 {
        let base = draw.plains(classes);
        attributes.push(listed(&style, "base_values", base));
    }
    let datum = if style.is_double { 1 } else { draw.below(4) };
    let version = if style.is_double { 3 } else { draw.one_of(&[1, 3]) };
    let input = rows(draw, datum);
    Graph::new("TreeEnsembleClassifier", version, attributes, vec![input]).with_outputs(&["label", "scores"])
}

pub fn regressor(draw: &mut Draw) -> Graph {
    let targets = draw.one_of(&[vec![0], vec![0, 1], vec![0, 1, 2]]);
    let style = Style::draw(draw, &targets);
    let every_leaf = draw.chance();
    let mut attributes = lists(draw, &style, "target", every_leaf);
    attributes.extend([
        int("n_targets", targets.len() as i64),
        text("aggregate_function", draw.one_of(&["SUM", "AVERAGE", "MIN", "MAX"])),
        text("post_transform", draw.one_of(&TRANSFORMS)),
    ]);
    if draw.chance() {
        let base = draw.plains(targets.len());
        attributes.push(listed(&style, "base_values", base));
    }
    let datum = if style.is_double { 1 } else { draw.below(2) };
    let version = if style.is_double { 3 } else { draw.one_of(&[1, 3]) };
    let input = rows(draw, datum);
    Graph::new("TreeEnsembleRegressor", version, attributes, vec![input])
}

/// The lists of a TreeEnsemble.
#[derive(Default)]
struct SplitLists {
    /// Columns, both children, whether each is a leaf, and where missing values go.
    splits: [Vec<i64>; 6],
    modes: Vec<u8>,
    thresholds: Vec<f32>,
    members: Vec<f32>,
    roots: Vec<i64>,
    leaf_targets: Vec<i64>,
    weights: Vec<f32>,
}

impl SplitLists {
    fn push(&mut self, entry: [i64; 6], mode: u8, threshold: f32) {
        self.splits.iter_mut().zip(entry).for_each(|(list, value)| list.push(value));
        self.modes.push(mode);
        self.thresholds.push(threshold);
    }

    fn add(&mut self, draw: &mut Draw, style: &Style, nodes: &[Node]) {
        self.roots.push(self.modes.len() as i64);
        // The number of each node among the splits or among the leaves.
        let (mut next_split, mut next_leaf) = (self.modes.len() as i64, self.weights.len() as i64);
        let number = |node: &Node| {
            let next = if node.children.is_some() { &mut next_split } else { &mut next_leaf };
            *next += 1;
            *next - 1
        };
        let numbers: Vec<i64> = nodes.iter().map(number).collect();
        for node in nodes {
            let Some(children) = node.children else {
                self.leaf_targets.push(draw.one_of(&style.targets));
                self.weights.push(style.weight(draw));
                continue;
            };
            let [passed, failed] =
                children.map(|child| (numbers[child], i64::from(nodes[child].children.is_none())));
            let missing = i64::from(node.missing_is_true);
            let is_member = draw.below(4) == 0;
            if is_member {
                // ONNX Runtime takes whole numbers alone.
                self.members.extend((0..1 + draw.below(3)).map(|_| draw.tie().round()));
                self.members.push(f32::NAN);
            }
            let mode = if is_member { 6 } else { node.mode as u8 };
            let entry = [node.column, passed.0, failed.0, passed.1, failed.1, missing];
            self.push(entry, mode, node.threshold);
        }
        if nodes.len() == 1 {
            // A single leaf is written as a split with twice that leaf.
            self.push([0, numbers[0], numbers[0], 1, 1, 0], 0, 0.0);
        }
    }

    fn attributes(self, style: &Style) -> Vec<AttributeProto> {
        let datum = usize::from(style.is_double);
        let numbers = |name: &str, values: Vec<f32>| tensor(name, &Values::of_numbers(values, datum));
        let names = ["featureids", "truenodeids", "falsenodeids", "trueleafs", "falseleafs"];
        let names = names.into_iter().chain(style.tracks_missing.then_some("missing_value_tracks_true"));
        let splits = names.zip(self.splits).map(|(name, list)| ints(&format!("nodes_{name}"), list));
        let members = (!self.members.is_empty()).then(|| numbers("membership_values", self.members));
        let others = [
            tensor_of_bytes("nodes_modes", &self.modes),
            numbers("nodes_splits", self.thresholds),
            numbers("leaf_weights", self.weights),
            ints("leaf_targetids", self.leaf_targets),
            ints("tree_roots", self.roots),
        ];
        splits.chain(others).chain(members).collect()
    }
}

pub fn ensemble(draw: &mut Draw) -> Graph {
    let targets = draw.one_of(&[vec![0], vec![0, 1], vec![0, 1, 2]]);
    let style = Style::draw(draw, &targets);
    let mut lists = SplitLists::default();
    for _ in 0..1 + draw.below(5) {
        let nodes = tree(draw, &style.modes);
        lists.add(draw, &style, &nodes);
    }
    let mut attributes = lists.attributes(&style);
    attributes.extend([
        int("n_targets", targets.len() as i64),
        int("aggregate_function", draw.below(4) as i64),
        int("post_transform", draw.below(5) as i64),
    ]);
    let input = rows(draw, usize::from(style.is_double));
    Graph::new("TreeEnsemble", 5, attributes, vec![input])
}

/// Returns a tree with a split and two leaves, as a regression of one target.
pub fn one_split(children: [i64; 2], target: i64) -> Graph {
    let modes = ["BRANCH_LEQ", "LEAF", "LEAF"].map(str::to_owned);
    let attributes = vec![
        ints("nodes_treeids", vec![0; 3]),
        ints("nodes_nodeids", vec![0, 1, 2]),
        ints("nodes_featureids", vec![0; 3]),
        ints("nodes_truenodeids", vec![children[0], 0, 0]),
        ints("nodes_falsenodeids", vec![children[1], 0, 0]),
        texts("nodes_modes", &modes),
        floats("nodes_values", vec![0.5; 3]),
        ints("target_treeids", vec![0; 2]),
        ints("target_nodeids", vec![1, 2]),
        ints("target_ids", vec![0, target]),
        floats("target_weights", vec![1.0, 2.0]),
        int("n_targets", 1),
    ];
    let input = Value::new(&[2, COLUMNS], Values::Floats(vec![0.25; 2 * COLUMNS]));
    Graph::new("TreeEnsembleRegressor", 1, attributes, vec![input])
}
