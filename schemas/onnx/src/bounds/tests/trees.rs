use super::*;

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { ints: ints.to_vec(), ..attribute(name) }
}

/// Returns two decisions, one below the other, with three leaves.
fn ensemble() -> NodeProto {
    let modes =
        TensorProto { data_type: Some(DataType::Uint8 as i32), int32_data: vec![0; 2], ..floats(&[2], &[]) };
    let tensor = |name: &str, tensor: TensorProto| AttributeProto { t: Some(tensor), ..attribute(name) };
    let attributes = vec![
        ints("tree_roots", &[0]),
        ints("nodes_featureids", &[0, 1]),
        ints("nodes_truenodeids", &[1, 0]),
        ints("nodes_trueleafs", &[0, 1]),
        ints("nodes_falsenodeids", &[2, 1]),
        ints("nodes_falseleafs", &[1, 1]),
        ints("leaf_targetids", &[0, 0, 0]),
        tensor("nodes_modes", modes),
        tensor("nodes_splits", floats(&[2], &[0.5; 2])),
        tensor("leaf_weights", floats(&[3], &[1.0; 3])),
        AttributeProto { i: Some(1), ..attribute("n_targets") },
    ];
    node("ai.onnx.ml", "TreeEnsemble", attributes)
}

/// Returns the same tree with its leaves as nodes.
fn classifier() -> NodeProto {
    let strings = |name: &str, texts: &[&'static str]| AttributeProto {
        strings: texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect(),
        ..attribute(name)
    };
    let numbers = |name: &str, floats: &[f32]| AttributeProto { floats: floats.to_vec(), ..attribute(name) };
    let attributes = vec![
        ints("nodes_treeids", &[0; 5]),
        ints("nodes_nodeids", &[0, 1, 2, 3, 4]),
        ints("nodes_featureids", &[0, 1, 0, 0, 0]),
        strings("nodes_modes", &["BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF"]),
        numbers("nodes_values", &[0.5; 5]),
        ints("nodes_truenodeids", &[1, 3, 0, 0, 0]),
        ints("nodes_falsenodeids", &[2, 4, 0, 0, 0]),
        ints("class_treeids", &[0; 3]),
        ints("class_nodeids", &[2, 3, 4]),
        ints("class_ids", &[0, 1, 1]),
        numbers("class_weights", &[1.0; 3]),
        ints("classlabels_int64s", &[0, 1]),
    ];
    node("ai.onnx.ml", "TreeEnsembleClassifier", attributes)
}

/// Returns the node with one number of an attribute changed.
fn changed(mut node: NodeProto, name: &str, at: usize, number: i64) -> NodeProto {
    let found = node.attribute.iter_mut().find(|attribute| attribute.name() == name).unwrap();
    found.ints[at] = number;
    node
}

fn shortened(mut node: NodeProto, name: &str) -> NodeProto {
    let found = node.attribute.iter_mut().find(|attribute| attribute.name() == name).unwrap();
    found
        .ints
        .pop()
        .map(drop)
        .or_else(|| found.floats.pop().map(drop))
        .or_else(|| found.strings.pop().map(drop))
        .unwrap();
    node
}

#[track_caller]
fn refused_trees(node: NodeProto) -> String {
    // tract looks an operator up by its name alone.
    let elsewhere = NodeProto { domain: None, ..node.clone() };
    refused(of_node(elsewhere));
    match refused(nested(of_node(node))) {
        BoundsError::Trees { node, problem } => {
            assert_eq!(node, "the node");
            problem
        }
        other => panic!("{other}"),
    }
}

#[test]
fn branches_lead_to_nodes_that_are_there_and_never_back() {
    for node in [ensemble(), classifier()] {
        accepted(of_node(node));
    }
    let back = "a node lies below itself";
    assert_eq!(refused_trees(changed(ensemble(), "nodes_truenodeids", 0, 0)), back);
    assert_eq!(refused_trees(changed(classifier(), "nodes_truenodeids", 1, 0)), back);
    assert_eq!(refused_trees(changed(classifier(), "nodes_falsenodeids", 1, 1)), back);
    for nowhere in [-1, 5, 1 << 40, i64::MAX, i64::MIN] {
        let said = refused_trees(changed(ensemble(), "nodes_falsenodeids", 0, nowhere));
        assert_eq!(said, "a branch leads to a node that does not exist");
        let said = refused_trees(changed(classifier(), "nodes_truenodeids", 0, nowhere));
        assert_eq!(said, "a branch leads to a node that does not exist");
        refused_trees(changed(ensemble(), "tree_roots", 0, nowhere));
        for (node, name) in [
            (ensemble(), "leaf_targetids"),
            (classifier(), "class_ids"),
            (classifier(), "class_nodeids"),
            (classifier(), "class_treeids"),
        ] {
            assert!(refused_trees(changed(node, name, 0, nowhere)).contains("a leaf's weight"), "{name}");
        }
    }
    for node in [ensemble(), classifier()] {
        for column in [-1, 1 << 31, i64::MAX] {
            let said = refused_trees(changed(node.clone(), "nodes_featureids", 0, column));
            assert_eq!(said, "a node compares a column that does not exist");
        }
    }
    assert!(refused_trees(changed(classifier(), "nodes_nodeids", 1, 0)).contains("one number"));
}

#[test]
fn the_lists_of_a_tree_are_of_one_length() {
    let lists = |node: &NodeProto| -> Vec<String> {
        let several = |attribute: &&AttributeProto| {
            attribute.ints.len() + attribute.floats.len() + attribute.strings.len() > 2
                || attribute.name().starts_with("nodes_") && attribute.t.is_none()
        };
        node.attribute.iter().filter(several).map(|attribute| attribute.name().to_owned()).collect()
    };
    for node in [ensemble(), classifier()] {
        assert!(lists(&node).len() >= 6);
        for name in lists(&node) {
            let said = refused_trees(shortened(node.clone(), &name));
            assert!(said.contains("length") || said.contains("number"), "{name}: {said}");
        }
    }
    for extra in ["nodes_missing_value_tracks_true", "nodes_hitrates"] {
        let mut node = classifier();
        node.attribute.push(AttributeProto { ints: vec![0], floats: vec![0.0], ..attribute(extra) });
        assert!(refused_trees(node).contains("length"), "{extra}");
    }
}

/// Returns a tree of ai.onnx.ml 5 that is a chain of decisions.
fn chain(decisions: i64) -> NodeProto {
    let count = decisions as usize;
    let mut node = ensemble();
    for attribute in &mut node.attribute {
        attribute.ints = match attribute.name() {
            "tree_roots" => vec![0],
            "nodes_featureids" => vec![0; count],
            "nodes_truenodeids" => (1..decisions).chain([0]).collect(),
            "nodes_trueleafs" => [vec![0; count - 1], vec![1]].concat(),
            "nodes_falsenodeids" => vec![0; count],
            "nodes_falseleafs" => vec![1; count],
            "leaf_targetids" => vec![0; 3],
            _ => vec![],
        };
        if let Some(tensor) = attribute.t.as_mut().filter(|tensor| tensor.dims == [2]) {
            tensor.dims = vec![decisions];
            tensor.int32_data.resize(if tensor.float_data.is_empty() { count } else { 0 }, 0);
            let floats = if tensor.float_data.is_empty() { 0 } else { count };
            tensor.float_data.resize(floats, 0.5);
        }
    }
    node
}

#[test]
fn trees_that_are_too_deep_or_too_many_are_refused() {
    accepted(of_node(chain(20)));
    for depth in [21, 900] {
        let error = refused(of_node(chain(depth)));
        assert!(
            matches!(error, BoundsError::TooMany { what: "decisions in a tree", limit: 20, .. }),
            "{error}"
        );
    }
    let error = refused(of_node(chain(1001)));
    assert!(matches!(error, BoundsError::TooMany { what: "nodes of trees", limit: 1000, .. }), "{error}");
    // Several operators count together.
    let together = GraphProto {
        node: std::iter::repeat_n([classifier(), chain(20), classifier()], 16).flatten().collect(),
        ..GraphProto::default()
    };
    accepted(GraphProto { node: together.node[..12].to_vec(), ..GraphProto::default() });
    let bounds = ModelBounds { max_tree_nodes: 100, ..BOUNDS };
    let refused = decode_model_within(&encoded(together), &bounds);
    assert!(matches!(refused, Err(ArtifactError::Bounds(BoundsError::TooMany { .. }))), "{refused:?}");
}

#[test]
fn a_million_decisions_in_a_chain_are_followed_without_recursion() {
    let bounds = ModelBounds { max_tree_nodes: 2_000_000, max_bytes: 100_000_000, ..BOUNDS };
    let start = Instant::now();
    let error = decode_model_within(&encoded(of_node(chain(1_000_000))), &bounds).unwrap_err();
    assert!(error.to_string().contains("1000000 decisions in a tree"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
