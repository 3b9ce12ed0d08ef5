//! Operators on texts.

use crate::attributes::attribute;
use crate::proto::attribute_proto::AttributeType;
use crate::proto::{AttributeProto, GraphProto};

/// The locale that a normalizer has without its attribute.
const DEFAULT_LOCALE: &str = "en_US.UTF-8";
/// The locale that every system has, with Unicode's own rules for upper and lower case.
const COMMON_LOCALE: &str = "C.UTF-8";
/// The languages with rules of their own for upper and lower case.
const OTHER_RULES: [&str; 3] = ["az", "lt", "tr"];

/// Gives normalizers of strings a locale that every system has, where it changes no result. ONNX Runtime opens a graph
/// only if its locales are installed, which they are not in most images.
pub fn use_common_locale(graph: &mut GraphProto) {
    for node in graph.node.iter_mut().filter(|node| node.op_type() == "StringNormalizer") {
        let locale = attribute(node, "locale").map(|locale| String::from_utf8_lossy(locale.s()).into_owned());
        let locale = locale.unwrap_or_else(|| DEFAULT_LOCALE.to_owned());
        let has_other_rules = OTHER_RULES.iter().any(|language| locale.starts_with(language));
        if !locale.ends_with(".UTF-8") || has_other_rules {
            continue;
        }
        node.attribute.retain(|attribute| attribute.name() != "locale");
        node.attribute.push(AttributeProto {
            name: Some("locale".to_owned()),
            r#type: Some(AttributeType::String as i32),
            s: Some(COMMON_LOCALE.as_bytes().to_vec().into()),
            ..AttributeProto::default()
        });
    }
}
