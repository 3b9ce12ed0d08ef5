use std::collections::BTreeMap;

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::proto::ModelProto;

type Values = BTreeMap<String, f64>;

fn node(operator: &str, input: &[&str], output: &[&str]) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto {
        op_type: Some(operator.to_owned()),
        input: owned(input),
        output: owned(output),
        ..NodeProto::default()
    }
}

fn number(name: &str, number: f32) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), f: Some(number), ..AttributeProto::default() }
}

fn function(name: &str, input: &[&str], output: &[&str], node: Vec<NodeProto>) -> FunctionProto {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    FunctionProto {
        name: Some(name.to_owned()),
        domain: Some("own".to_owned()),
        input: owned(input),
        output: owned(output),
        node,
        ..FunctionProto::default()
    }
}

fn call(name: &str, input: &[&str], output: &[&str]) -> NodeProto {
    NodeProto { domain: Some("own".to_owned()), ..node(name, input, output) }
}

fn model(node: Vec<NodeProto>, functions: Vec<FunctionProto>) -> ModelProto {
    let graph = Some(GraphProto { node, ..GraphProto::default() });
    ModelProto { graph, functions, ..ModelProto::default() }
}

fn inline(model: &ModelProto) -> Result<GraphProto, FunctionsError> {
    let inlined = inline_functions(&model.encode_to_vec(), &ModelBounds::default())?.unwrap();
    let inlined = ModelProto::decode(inlined.as_slice()).unwrap();
    assert!(inlined.functions.is_empty());
    Ok(inlined.graph.unwrap())
}

/// Computes nodes one after another, with calls of functions, as ONNX defines them. `scope` is the call that the nodes are the
/// body of.
fn compute(
    nodes: &[NodeProto],
    values: &mut Values,
    functions: &[FunctionProto],
    scope: Option<(&FunctionProto, &NodeProto)>,
) {
    for node in nodes {
        let attribute = |name: &str| {
            let attribute = node.attribute.iter().find(|attribute| attribute.name() == name)?;
            let reference = attribute.ref_attr_name();
            match scope {
                Some((function, call)) if !reference.is_empty() => {
                    let mut all = call.attribute.iter().chain(&function.attribute_proto);
                    all.find(|attribute| attribute.name() == reference)
                }
                _ => Some(attribute),
            }
        };
        // An input that a call leaves out has no value.
        let read = |at: usize| node.input.get(at).and_then(|name| values.get(name).copied());
        let results = match functions.iter().find(|function| function.name() == node.op_type()) {
            Some(function) => {
                let given = function.input.iter().enumerate();
                let mut inner: Values =
                    given.filter_map(|(at, name)| Some((name.clone(), read(at)?))).collect();
                // The attributes of a call are resolved where it is made.
                let resolved = node.attribute.iter().filter_map(|found| {
                    Some(AttributeProto {
                        name: found.name.clone(),
                        ref_attr_name: None,
                        ..attribute(found.name())?.clone()
                    })
                });
                let call = NodeProto { attribute: resolved.collect(), ..node.clone() };
                compute(&function.node, &mut inner, functions, Some((function, &call)));
                function.output.iter().map(|name| inner[name]).collect()
            }
            None => match node.op_type() {
                "Add" => vec![read(0).unwrap() + read(1).unwrap_or(100.0)],
                "Neg" => vec![-read(0).unwrap()],
                "Identity" => vec![read(0).unwrap()],
                "Scale" => vec![read(0).unwrap() * attribute("by").map_or(10.0, |by| f64::from(by.f()))],
                "Branch" => {
                    let graph = attribute("body").unwrap().g.as_ref().unwrap();
                    let mut inner = values.clone();
                    compute(&graph.node, &mut inner, functions, scope);
                    graph.output.iter().map(|output| inner[output.name()]).collect()
                }
                operator => panic!("{operator}"),
            },
        };
        for (name, result) in node.output.iter().zip(results) {
            assert!(
                values.insert(name.clone(), result).is_none() || name.is_empty(),
                "{name} is computed twice"
            );
        }
    }
}

/// Makes nodes over a few names, so that the names of callers and functions are often the same.
struct Generator {
    random: ChaCha8Rng,
    functions: Vec<FunctionProto>,
}

impl Generator {
    /// Makes nodes that read `names`, to which their outputs are added. The names `taken` are not theirs.
    fn nodes(
        &mut self,
        names: &mut Vec<String>,
        taken: &[&str],
        count: usize,
        depth: usize,
    ) -> Vec<NodeProto> {
        let pool =
            ["a", "b", "c", "x", "y", "n1", "n2", "n3", "inlined1.a", "inlined", "t", "u", "v", "w", "z"];
        let mut nodes = Vec::new();
        for _ in 0..count {
            let fresh: Vec<&str> = pool
                .iter()
                .copied()
                .filter(|name| !taken.contains(name) && !names.iter().any(|used| used == name))
                .collect();
            let mut made =
                fresh.sample(&mut self.random, 2).map(|name| (*name).to_owned()).collect::<Vec<_>>();
            let mut pick = || names.choose(&mut self.random).unwrap().clone();
            let input = [pick(), pick()];
            let Some(output) = made.pop() else { break };
            let callee = self.functions.choose(&mut self.random).cloned();
            let mut node = match (self.random.random_range(0..6), callee) {
                (0, _) => node("Add", &[&input[0], &input[1]], &[&output]),
                (1, _) => node("Neg", &[&input[0]], &[&output]),
                (2, _) if depth < 2 => {
                    let mut inner_names = names.clone();
                    let body = self.nodes(&mut inner_names, &[taken, &[&output]].concat(), 2, depth + 1);
                    let Some(last) = body.last() else { break };
                    let result =
                        ValueInfoProto { name: Some(last.output[0].clone()), ..ValueInfoProto::default() };
                    let graph = GraphProto { node: body, output: vec![result], ..GraphProto::default() };
                    let attribute = AttributeProto {
                        name: Some("body".to_owned()),
                        g: Some(graph),
                        ..AttributeProto::default()
                    };
                    NodeProto { attribute: vec![attribute], ..node("Branch", &[], &[&output]) }
                }
                (3..6, Some(callee)) => {
                    let second = if self.random.random_bool(0.2) { "" } else { input[1].as_str() };
                    let outputs = match made.pop().filter(|_| callee.output.len() > 1) {
                        Some(other) => {
                            names.push(other.clone());
                            vec![output.clone(), other]
                        }
                        None => vec![output.clone()],
                    };
                    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
                    call(callee.name(), &[&input[0], second], &outputs)
                }
                _ => node("Scale", &[&input[0]], &[&output]),
            };
            if node.op_type() != "Branch" && self.random.random_bool(0.5) {
                let refers = self.random.random_bool(0.6);
                let by = number("by", self.random.random_range(2..5) as f32);
                node.attribute.push(if refers {
                    AttributeProto { ref_attr_name: Some("by".to_owned()), f: None, ..by }
                } else {
                    by
                });
            }
            names.push(output);
            nodes.push(node);
        }
        nodes
    }

    /// Returns a function of one or two inputs; its second is only ever added.
    fn function(&mut self) -> FunctionProto {
        let mut body = vec![node("Add", &["x", "y"], &["a"])];
        let count = self.random.random_range(0..4);
        // The second input may be left out, and is not read by what follows.
        let mut readable = vec!["x".to_owned(), "a".to_owned()];
        body.extend(self.nodes(&mut readable, &["y"], count, 0));
        let last = body.last().unwrap().output[0].clone();
        let second = if self.random.random_bool(0.3) { "x".to_owned() } else { "a".to_owned() };
        let outputs = if last == "a" { vec!["a"] } else { vec![last.as_str(), second.as_str()] };
        let name = format!("F{}", self.functions.len());
        let mut made = function(&name, &["x", "y"], &outputs, body);
        if self.random.random_bool(0.5) {
            made.attribute_proto.push(number("by", 7.0));
        } else {
            made.attribute.push("by".to_owned());
        }
        made
    }
}

/// Removes references from the graph itself, where there is nothing to refer to.
fn without_references(nodes: &mut [NodeProto]) {
    for node in nodes {
        node.attribute.retain(|attribute| attribute.ref_attr_name().is_empty());
        for attribute in &mut node.attribute {
            attribute.g.iter_mut().for_each(|graph| without_references(&mut graph.node));
        }
    }
}

#[test]
fn generated_functions_compute_the_same_once_they_are_inlined() {
    let (mut calls, mut branches) = (0, 0);
    for seed in 0..2000 {
        let mut generator = Generator { random: ChaCha8Rng::seed_from_u64(seed), functions: Vec::new() };
        for _ in 0..3 {
            let function = generator.function();
            generator.functions.push(function);
        }
        let inputs: Values = [("x".to_owned(), 3.0), ("t".to_owned(), 5.0)].into();
        let mut nodes = generator.nodes(&mut inputs.keys().cloned().collect(), &[], 6, 0);
        without_references(&mut nodes);
        let model = model(nodes, generator.functions);
        let graph = inline(&model).unwrap();
        let before = &model.graph.as_ref().unwrap().node;
        let (mut expected, mut found) = (inputs.clone(), inputs);
        compute(before, &mut expected, &model.functions, None);
        compute(&graph.node, &mut found, &[], None);
        for (name, value) in expected {
            assert_eq!(found.get(&name), Some(&value), "{name} of seed {seed}: {before:?}");
        }
        calls += before.iter().filter(|node| node.domain() == "own").count();
        branches += before.iter().filter(|node| node.op_type() == "Branch").count();
    }
    assert!(calls > 2000 && branches > 500, "{calls} calls and {branches} branches");
}

#[test]
fn calls_that_double_again_and_again_are_bounded() {
    let double = |level: usize| {
        let inner = format!("F{level}");
        let body = vec![call(&inner, &["x"], &["a"]), call(&inner, &["a"], &["y"])];
        function(&format!("F{}", level + 1), &["x"], &["y"], body)
    };
    let mut functions = vec![function("F0", &["x"], &["y"], vec![node("Neg", &["x"], &["y"])])];
    functions.extend((0..40).map(double));
    let refused = inline(&model(vec![call("F40", &["x"], &["y"])], functions.clone())).unwrap_err();
    assert!(refused.to_string().contains("20001 nodes, more than the 20000"), "{refused}");
    assert_eq!(inline(&model(vec![call("F4", &["x"], &["y"])], functions)).unwrap().node.len(), 16);

    // Neither does a large constant in a function become a large file unnoticed.
    let text = AttributeProto { s: Some(vec![0; 1_000_000].into()), ..number("value", 0.0) };
    let constant = NodeProto { attribute: vec![text], ..node("Constant", &[], &["y"]) };
    let calls = (0..1000).map(|at| call("Large", &[], &[&format!("y{at}")])).collect();
    let refused = inline(&model(calls, vec![function("Large", &[], &["y"], vec![constant])])).unwrap_err();
    assert!(refused.to_string().contains("bytes") && refused.to_string().contains("max_bytes"), "{refused}");
}

#[test]
fn functions_that_call_themselves_or_fit_no_version_are_refused() {
    let itself = function("F", &["x"], &["y"], vec![call("F", &["x"], &["y"])]);
    let refused = inline(&model(vec![call("F", &["x"], &["y"])], vec![itself])).unwrap_err();
    assert!(refused.to_string().contains("\"F\" calls itself"), "{refused}");

    let plain = function("F", &["x"], &["y"], vec![node("Neg", &["x"], &["y"])]);
    let twice = inline(&model(Vec::new(), vec![plain.clone(), plain.clone()])).unwrap_err();
    assert!(twice.to_string().contains("two of its functions"), "{twice}");

    let opset = |domain: &str, version| OperatorSetIdProto {
        domain: Some(domain.to_owned()),
        version: Some(version),
    };
    let with = |operator: &str, imports: Vec<OperatorSetIdProto>| ModelProto {
        opset_import: vec![opset("", 18)],
        ..model(
            vec![call("F", &["x"], &["y"])],
            vec![FunctionProto {
                opset_import: imports,
                ..function("F", &["x"], &["y"], vec![node(operator, &["x"], &["y"])])
            }],
        )
    };
    let refused = inline(&with("ReduceSum", vec![opset("ai.onnx", 12)])).unwrap_err();
    assert!(
        refused.to_string().contains("\"ReduceSum\" of version 12, and the graph version 18"),
        "{refused}"
    );
    assert!(inline(&with("Unheard", vec![opset("", 17)])).is_err());
    inline(&with("ReduceSum", vec![opset("", 13)])).expect("it is the same operator");
    let added = with("Neg", vec![opset("", 18), opset("ai.onnx.ml", 3), opset("own", 1)]);
    let inlined = inline_functions(&added.encode_to_vec(), &ModelBounds::default()).unwrap().unwrap();
    let imports = ModelProto::decode(inlined.as_slice()).unwrap().opset_import;
    assert_eq!(imports, [opset("", 18), opset("ai.onnx.ml", 3)]);
    assert!(
        inline_functions(&model(Vec::new(), Vec::new()).encode_to_vec(), &ModelBounds::default())
            .unwrap()
            .is_none()
    );
}
