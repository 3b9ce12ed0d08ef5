//! Functions that a model defines itself: they are inlined into its graph, because a runtime is only given graphs whose
//! operators are known.

use std::collections::{HashMap, HashSet};

use onnward_schemas::shorten;
use prost::Message;
use thiserror::Error;

use crate::artifact::ArtifactError;
use crate::bounds::{self, BoundsError, ModelBounds};
use crate::proto::{
    AttributeProto, FunctionProto, GraphProto, NodeProto, OperatorSetIdProto, ValueInfoProto,
};

/// The deepest nesting of calls. Exporters write two or three.
const MAX_CALLS: usize = 64;

/// The reason why the functions of a model cannot be inlined.
#[derive(Debug, Error)]
pub enum FunctionsError {
    /// The file is not a model within the bounds.
    #[error(transparent)]
    Model(#[from] ArtifactError),
    /// A function calls itself, or others too deeply.
    #[error(
        "its function {function:?} calls itself, or functions are called more than {MAX_CALLS} deep: export the model again"
    )]
    Recursive {
        /// The function.
        function: String,
    },
    /// Two functions have one name.
    #[error("two of its functions are named {function:?}: export the model again")]
    Ambiguous {
        /// The name.
        function: String,
    },
    /// A function is written for another version of an operator than the graph.
    #[error(
        "its function {function:?} uses the operator {operator:?} of version {found}, and the graph version {expected}: export both \
         for one version"
    )]
    Opset {
        /// The function.
        function: String,
        /// The operator.
        operator: String,
        /// The function's version.
        found: i64,
        /// The graph's version.
        expected: i64,
    },
}

/// The versions that changed each operator.
const OPERATORS: &str = include_str!("functions/operators.txt");

impl From<BoundsError> for FunctionsError {
    fn from(error: BoundsError) -> Self {
        Self::Model(error.into())
    }
}

/// Inlines the functions that a model defines itself into its graph: each call becomes the nodes of the function, with names
/// of their own. Returns `None` if the model has no functions.
///
/// ```
/// # use onnward_onnx::proto::{FunctionProto, GraphProto, ModelProto, NodeProto};
/// # use onnward_onnx::ModelBounds;
/// # use prost::Message;
/// use onnward_onnx::inline_functions;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = |operator: &str, input: &str, output: &str| NodeProto {
/// #     op_type: Some(operator.to_owned()),
/// #     input: vec![input.to_owned()],
/// #     output: vec![output.to_owned()],
/// #     ..NodeProto::default()
/// # };
/// # let flip = FunctionProto {
/// #     name: Some("Flip".to_owned()),
/// #     input: vec!["a".to_owned()],
/// #     output: vec!["b".to_owned()],
/// #     node: vec![node("Neg", "a", "b")],
/// #     ..FunctionProto::default()
/// # };
/// # let graph = GraphProto { node: vec![node("Flip", "x", "y")], ..GraphProto::default() };
/// # let model =
/// #     ModelProto { graph: Some(graph), functions: vec![flip], ..ModelProto::default() }.encode_to_vec();
/// let inlined = inline_functions(&model, &ModelBounds::default())?.ok_or("it has functions")?;
/// let nodes = ModelProto::decode(inlined.as_slice())?.graph.unwrap_or_default().node;
/// assert_eq!((nodes[0].op_type(), nodes[0].input[0].as_str(), nodes[0].output[0].as_str()), ("Neg", "x", "y"));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`FunctionsError`]. The graph may have as many nodes and bytes as the bounds permit.
pub fn inline_functions(file: &[u8], bounds: &ModelBounds) -> Result<Option<Vec<u8>>, FunctionsError> {
    let mut model = bounds::decode_with_functions(file, bounds)?;
    let functions = std::mem::take(&mut model.functions);
    if functions.is_empty() {
        return Ok(None);
    }
    let mut by_key = HashMap::new();
    for function in &functions {
        import_operators(&mut model.opset_import, function, &functions)?;
        if by_key.insert(key_of_function(function), function).is_some() {
            return Err(FunctionsError::Ambiguous { function: shorten(function.name()) });
        }
    }
    let Some(graph) = &mut model.graph else { return Err(ArtifactError::NoGraph.into()) };
    let mut inlining =
        Inlining { prefix: unused_prefix(graph), functions: by_key, calls: 0, nodes: 0, bytes: 0, bounds };
    inlining.graph(graph, &mut Vec::new())?;
    Ok(Some(model.encode_to_vec()))
}

/// The domain, the name and the overload of a function.
type Key = (String, String, String);

fn key_of_function(function: &FunctionProto) -> Key {
    (domain(function.domain()), function.name().to_owned(), function.overload().to_owned())
}

fn key_of_node(node: &NodeProto) -> Key {
    (domain(node.domain()), node.op_type().to_owned(), node.overload().to_owned())
}

/// Returns a domain under its shorter name, where it has two.
fn domain(domain: &str) -> String {
    if domain == "ai.onnx" { String::new() } else { domain.to_owned() }
}

/// Adds the operators that a function uses to those of the graph.
fn import_operators(
    imports: &mut Vec<OperatorSetIdProto>,
    function: &FunctionProto,
    functions: &[FunctionProto],
) -> Result<(), FunctionsError> {
    for import in &function.opset_import {
        let used = domain(import.domain());
        let is_local = !used.is_empty() && functions.iter().any(|other| other.domain() == used);
        let Some(known) = imports.iter().find(|known| domain(known.domain()) == used) else {
            if !is_local {
                imports.push(import.clone());
            }
            continue;
        };
        let (found, expected) = (import.version(), known.version());
        if !is_local
            && found != expected
            && let Some(operator) = changed(&function.node, &used, [found, expected])
        {
            return Err(FunctionsError::Opset {
                function: shorten(function.name()),
                operator: shorten(operator),
                found,
                expected,
            });
        }
    }
    Ok(())
}

/// Returns an operator among nodes that is another one in the other of two versions, or of which that is not known.
fn changed<'n>(nodes: &'n [NodeProto], used: &str, versions: [i64; 2]) -> Option<&'n str> {
    nodes.iter().find_map(|node| {
        let [found, expected] = versions.map(|version| since(used, node.op_type(), version));
        let is_other = domain(node.domain()) == used && (found.is_none() || found != expected);
        let graphs =
            || node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
        is_other
            .then(|| node.op_type())
            .or_else(|| graphs().find_map(|graph| changed(&graph.node, used, versions)))
    })
}

/// Returns the version of an operator's definition that holds in a version of all operators. `None` if it is not known.
fn since(domain: &str, operator: &str, version: i64) -> Option<i64> {
    let domain = if domain.is_empty() { "ai.onnx" } else { domain };
    let line = OPERATORS.lines().find_map(|line| {
        line.strip_prefix(domain)?.strip_prefix(' ')?.strip_prefix(operator)?.strip_prefix(' ')
    })?;
    line.split(' ').filter_map(|since| since.parse().ok()).take_while(|since| *since <= version).last()
}

/// Returns a beginning that no name of the graph has.
fn unused_prefix(graph: &GraphProto) -> String {
    let mut names = HashSet::new();
    collect_names(graph, &mut names);
    let mut prefix = "inlined".to_owned();
    while names.iter().any(|name| name.starts_with(&prefix)) {
        prefix.push('_');
    }
    prefix
}

fn collect_names<'g>(graph: &'g GraphProto, names: &mut HashSet<&'g str>) {
    names.extend(graph.input.iter().chain(&graph.output).chain(&graph.value_info).map(|value| value.name()));
    names.extend(graph.initializer.iter().map(|tensor| tensor.name()));
    for node in &graph.node {
        names.insert(node.name());
        names.extend(node.input.iter().chain(&node.output).map(String::as_str));
        for attribute in &node.attribute {
            attribute.g.iter().chain(&attribute.graphs).for_each(|inner| collect_names(inner, names));
        }
    }
}

struct Inlining<'m> {
    /// The beginning of all names that are made.
    prefix: String,
    functions: HashMap<Key, &'m FunctionProto>,
    /// The number of calls so far.
    calls: usize,
    /// The number of nodes so far, those of nested graphs included.
    nodes: usize,
    /// The size of the nodes so far.
    bytes: u64,
    bounds: &'m ModelBounds,
}

impl Inlining<'_> {
    /// Inlines the calls in a graph; `open` holds the functions whose bodies it is part of.
    fn graph(&mut self, graph: &mut GraphProto, open: &mut Vec<Key>) -> Result<(), FunctionsError> {
        graph.node = self.nodes(std::mem::take(&mut graph.node), open)?;
        Ok(())
    }

    fn nodes(
        &mut self,
        nodes: Vec<NodeProto>,
        open: &mut Vec<Key>,
    ) -> Result<Vec<NodeProto>, FunctionsError> {
        let mut inlined = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            let key = key_of_node(&node);
            let Some(function) = self.functions.get(&key).copied() else {
                for attribute in &mut node.attribute {
                    let graphs = attribute.g.iter_mut().chain(&mut attribute.graphs);
                    graphs.into_iter().try_for_each(|inner| self.graph(inner, open))?;
                }
                self.count(&node)?;
                inlined.push(node);
                continue;
            };
            if open.contains(&key) || open.len() == MAX_CALLS {
                return Err(FunctionsError::Recursive { function: shorten(function.name()) });
            }
            let body = self.body(function, &node)?;
            open.push(key);
            inlined.extend(self.nodes(body, open)?);
            open.pop();
        }
        Ok(inlined)
    }

    /// Counts a node of the result. A function that calls another twice, which calls another twice, and so on, is small in
    /// the file.
    fn count(&mut self, node: &NodeProto) -> Result<(), FunctionsError> {
        self.nodes += 1;
        self.bytes = self.bytes.saturating_add(node.encoded_len() as u64);
        let (found, limit) = (self.nodes as u64, self.bounds.max_nodes as u64);
        if found > limit {
            return Err(
                BoundsError::TooMany { what: "nodes", found, limit, key: Some("models.max_nodes") }.into()
            );
        }
        Ok(self.bounds.check_size(self.bytes)?)
    }

    /// Returns the nodes of a function for one call of it.
    fn body(&mut self, function: &FunctionProto, call: &NodeProto) -> Result<Vec<NodeProto>, FunctionsError> {
        self.calls += 1;
        let mut scope = Scope {
            prefix: format!("{}{}.", self.prefix, self.calls),
            names: HashMap::new(),
            function,
            call,
        };
        for (at, name) in function.input.iter().enumerate() {
            scope.names.insert(name, call.input.get(at).cloned().unwrap_or_default());
        }
        let mut body = Vec::with_capacity(function.node.len());
        for (at, name) in function.output.iter().enumerate() {
            let Some(output) = call.output.get(at).filter(|output| !output.is_empty()) else { continue };
            match scope.names.get(name.as_str()) {
                // An output that is an input, or another output too.
                Some(same) => body.push(identity(same, output)),
                None => {
                    scope.names.insert(name, output.clone());
                }
            }
        }
        // Of an output that is there twice, the node that computes it comes first.
        let copies = std::mem::take(&mut body);
        for node in &function.node {
            // The body is bounded while it is copied, and not only once it is complete.
            self.bounds.check_size(self.bytes.saturating_add(node.encoded_len() as u64))?;
            body.push(scope.node(node));
        }
        body.extend(copies);
        Ok(body)
    }
}

fn identity(input: &str, output: &str) -> NodeProto {
    NodeProto {
        op_type: Some("Identity".to_owned()),
        input: vec![input.to_owned()],
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

/// The names in one call of a function.
struct Scope<'f> {
    /// The beginning of the names that are only the function's.
    prefix: String,
    /// The caller's names of inputs and outputs.
    names: HashMap<&'f str, String>,
    function: &'f FunctionProto,
    call: &'f NodeProto,
}

impl Scope<'_> {
    /// Returns the name in the graph of a name in the function. An input that is left out has none.
    fn name(&self, name: &str) -> String {
        match self.names.get(name) {
            Some(outer) => outer.clone(),
            None if name.is_empty() => String::new(),
            None => format!("{}{name}", self.prefix),
        }
    }

    fn node(&self, node: &NodeProto) -> NodeProto {
        let names = |names: &[String]| names.iter().map(|name| self.name(name)).collect();
        NodeProto {
            name: node.name.as_ref().map(|name| format!("{}{name}", self.prefix)),
            input: names(&node.input),
            output: names(&node.output),
            attribute: node.attribute.iter().filter_map(|attribute| self.attribute(attribute)).collect(),
            ..node.clone()
        }
    }

    /// Returns an attribute of a node, or `None` if it refers to one that the call leaves out and that has no default.
    fn attribute(&self, attribute: &AttributeProto) -> Option<AttributeProto> {
        let reference = attribute.ref_attr_name();
        if reference.is_empty() {
            return Some(self.renamed(attribute));
        }
        let named = |given: &&AttributeProto| given.name() == reference;
        // What the caller gives has the caller's names.
        let given = self.call.attribute.iter().find(named).cloned();
        let given =
            given.or_else(|| Some(self.renamed(self.function.attribute_proto.iter().find(named)?)))?;
        Some(AttributeProto { name: attribute.name.clone(), ref_attr_name: None, ..given })
    }

    fn renamed(&self, attribute: &AttributeProto) -> AttributeProto {
        let mut renamed = attribute.clone();
        renamed.g.iter_mut().chain(&mut renamed.graphs).for_each(|inner| self.rename(inner));
        renamed
    }

    /// Renames the values of a graph in the function.
    fn rename(&self, graph: &mut GraphProto) {
        let rename = |value: &mut ValueInfoProto| value.name = Some(self.name(value.name()));
        graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info).for_each(rename);
        for tensor in &mut graph.initializer {
            tensor.name = Some(self.name(tensor.name()));
        }
        for node in &mut graph.node {
            *node = self.node(node);
        }
    }
}

#[cfg(test)]
mod tests;
