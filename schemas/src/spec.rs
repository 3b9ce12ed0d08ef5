//! The schema as a file holds it: every field, not yet checked against the others.

use serde::{Deserialize, Serialize};

use crate::checks::problems_of;
use crate::feature::{Feature, FeatureKind, UnknownPolicy};
use crate::kept::KeptType;
use crate::sample::SampleModel;
use crate::schema::{Label, Schema, SchemaError, index_of_names, kept_indices};
use crate::task::{Binary, Classes, Outputs, Task, TaskKind};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaSpec {
    name: String,
    version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identifier: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    segments: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revenue: Option<String>,
    label: LabelSpec,
    features: Vec<FeatureSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sample: Option<SampleModel>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelSpec {
    column: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, rename = "type", skip_serializing_if = "TaskKind::is_default")]
    kind: TaskKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    positive: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    negative: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    values: Option<Vec<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum FeatureSpec {
    Numeric {
        name: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        description: String,
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        required: bool,
        #[serde(default, skip_serializing_if = "is_no")]
        nullable: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
        #[serde(default, skip_serializing_if = "is_no")]
        integer: bool,
    },
    Categorical {
        name: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        description: String,
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        required: bool,
        #[serde(default, skip_serializing_if = "is_no")]
        nullable: bool,
        values: Vec<String>,
        #[serde(default)]
        unknown: UnknownPolicy,
    },
    Kept {
        name: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        description: String,
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        required: bool,
        #[serde(default, skip_serializing_if = "is_no")]
        nullable: bool,
        value: KeptType,
    },
}

fn yes() -> bool {
    true
}

// serde asks for a reference.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_yes(value: &bool) -> bool {
    *value
}

#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_no(value: &bool) -> bool {
    !*value
}

impl From<FeatureSpec> for Feature {
    fn from(spec: FeatureSpec) -> Self {
        let (name, description, required, nullable, kind) = match spec {
            FeatureSpec::Numeric { name, description, required, nullable, min, max, integer } => {
                (name, description, required, nullable, FeatureKind::Numeric { min, max, integer })
            }
            FeatureSpec::Categorical { name, description, required, nullable, values, unknown } => {
                (name, description, required, nullable, FeatureKind::Categorical { values, unknown })
            }
            FeatureSpec::Kept { name, description, required, nullable, value } => {
                (name, description, required, nullable, FeatureKind::Kept(value))
            }
        };
        Self { name, description, required, nullable, kind }
    }
}

impl From<Feature> for FeatureSpec {
    fn from(Feature { name, description, required, nullable, kind }: Feature) -> Self {
        match kind {
            FeatureKind::Numeric { min, max, integer } => {
                Self::Numeric { name, description, required, nullable, min, max, integer }
            }
            FeatureKind::Categorical { values, unknown } => {
                Self::Categorical { name, description, required, nullable, values, unknown }
            }
            FeatureKind::Kept(value) => Self::Kept { name, description, required, nullable, value },
        }
    }
}

impl From<Schema> for SchemaSpec {
    fn from(schema: Schema) -> Self {
        let (label, threshold) = LabelSpec::of(schema.label);
        Self {
            name: schema.name,
            version: schema.version,
            description: schema.description,
            identifier: schema.identifier,
            ignored: schema.ignored,
            threshold,
            segments: schema.segments,
            revenue: schema.revenue,
            label,
            features: schema.features.into_iter().map(FeatureSpec::from).collect(),
            sample: None,
        }
    }
}

impl TryFrom<SchemaSpec> for Schema {
    type Error = SchemaError;

    fn try_from(spec: SchemaSpec) -> Result<Self, SchemaError> {
        let label = spec.label.read(spec.threshold).map_err(SchemaError::Invalid)?;
        let features: Vec<Feature> = spec.features.into_iter().map(Feature::from).collect();
        let schema = Self {
            name: spec.name,
            version: spec.version,
            description: spec.description,
            identifier: spec.identifier,
            ignored: spec.ignored,
            label,
            index: index_of_names(&features),
            kept: kept_indices(&features),
            features,
            segments: spec.segments,
            revenue: spec.revenue,
        };
        let problems = problems_of(&schema);
        if problems.is_empty() { Ok(schema) } else { Err(SchemaError::Invalid(problems)) }
    }
}

impl LabelSpec {
    /// Writes a label, and the threshold of its decisions if it has one.
    fn of(label: Label) -> (Self, Option<f64>) {
        let Label { column, name, task } = label;
        let name = (name != default_label_name(&column)).then_some(name);
        let kind = task.kind();
        let spec = Self { column, name, kind, positive: None, negative: None, values: None };
        match task {
            Task::Binary(Binary { positive, negative, threshold }) => {
                (Self { positive: Some(positive), negative: Some(negative), ..spec }, Some(threshold))
            }
            Task::Classes(Classes { values }) => (Self { values: Some(values), ..spec }, None),
            Task::Number | Task::Raw(_) => (spec, None),
        }
    }

    /// Reads a label. The error lists every key that its task lacks or does not have.
    fn read(self, threshold: Option<f64>) -> Result<Label, Vec<String>> {
        let Self { column, name, kind, positive, negative, values } = self;
        let given = [
            ("label.positive", positive.is_some(), kind == TaskKind::Binary, true),
            ("label.negative", negative.is_some(), kind == TaskKind::Binary, true),
            ("label.values", values.is_some(), kind == TaskKind::Classes, true),
            ("threshold", threshold.is_some(), kind == TaskKind::Binary, false),
        ];
        let of_type = kind.name();
        let problems = given.into_iter().filter_map(|(key, is_given, is_known, is_needed)| {
            if is_given && !is_known {
                Some(format!("{key} is set, and a label of type \"{of_type}\" has none: remove it"))
            } else if !is_given && is_known && is_needed {
                Some(format!("{key} is missing, which a label of type \"{of_type}\" needs"))
            } else {
                None
            }
        });
        let problems: Vec<String> = problems.collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let task = match kind {
            TaskKind::Binary => Task::Binary(Binary {
                positive: positive.unwrap_or_default(),
                negative: negative.unwrap_or_default(),
                threshold: threshold.unwrap_or(Binary::THRESHOLD),
            }),
            TaskKind::Classes => Task::Classes(Classes { values: values.unwrap_or_default() }),
            TaskKind::Number => Task::Number,
            TaskKind::Raw => Task::Raw(Outputs { fields: Vec::new() }),
        };
        let name = name.unwrap_or_else(|| default_label_name(&column));
        Ok(Label { column, name, task })
    }
}

/// Makes a label's name of its column's: `TotalChurn` and `total churn` both become `total_churn`.
fn default_label_name(column: &str) -> String {
    let mut name = String::new();
    let mut after_lower = false;
    for c in column.chars() {
        let separates = !c.is_alphanumeric();
        if (separates || (c.is_uppercase() && after_lower)) && !name.ends_with('_') && !name.is_empty() {
            name.push('_');
        }
        if !separates {
            name.extend(c.to_lowercase());
        }
        after_lower = c.is_lowercase();
    }
    name
}

#[cfg(test)]
mod tests {
    use crate::{SchemaFile, TaskKind};

    const SMALL: &str = r#"
        name = "small"
        version = 1
        identifier = "id"
        ignored = ["surname"]
        segments = ["plan"]
        revenue = "age"
        [label]
        column = "HasLeft"
        positive = "1"
        negative = "0"
        [[features]]
        name = "age"
        type = "numeric"
        min = 18
        integer = true
        [[features]]
        name = "plan"
        type = "categorical"
        values = ["basic", "full"]
    "#;

    #[test]
    fn a_schema_survives_toml_and_keeps_its_fingerprint() {
        let schema = SchemaFile::parse(SMALL).unwrap().schema;
        assert_eq!(schema.label.name, "has_left");
        assert_eq!(schema.ignored, ["surname"]);
        let again = SchemaFile::parse(&schema.to_toml().unwrap()).unwrap().schema;
        assert_eq!(schema, again);
        assert_eq!(schema.fingerprint(), again.fingerprint());
    }

    #[test]
    fn the_fingerprint_follows_what_requests_may_hold() {
        let fingerprint = |text: &str| SchemaFile::parse(text).unwrap().schema.fingerprint();
        let wider = SMALL.replace("min = 18", "min = 16");
        let judged =
            SMALL.replace("version = 1", "version = 1\nthreshold = 0.3").replace("revenue = \"age\"", "");
        assert_ne!(fingerprint(SMALL), fingerprint(&wider));
        assert_eq!(fingerprint(SMALL), fingerprint(&judged));
    }

    #[test]
    fn every_contradiction_is_listed_at_once() {
        let broken = SMALL
            .replace("segments = [\"plan\"]", "segments = [\"age\"]\nthreshold = 1.5")
            .replace("positive = \"1\"", "positive = \"0\"")
            .replace("[\"surname\"]", "[\"plan\", \"HasLeft\"]")
            .replace("min = 18", "min = 18.2\nmax = 18.8")
            .replace("name = \"age\"", "name = \"features\"");
        let message = SchemaFile::parse(&broken).unwrap_err().to_string();
        for part in [
            "segment \"age\"",
            "threshold 1.5",
            "both \"0\"",
            "\"features\" is taken",
            "ignored column \"plan\"",
            "ignored column \"HasLeft\"",
            "no value between",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn names_and_values_that_no_table_or_request_can_hold_are_refused() {
        let cases = [
            ("name = \"age\"", r#"name = "a\u0000ge""#, "feature \"a\\0ge\" contains a control character"),
            ("name = \"age\"", "name = \" age\"", "feature \" age\" has blanks around it"),
            ("name = \"age\"", "name = \" \"", "a feature's name is blank"),
            ("identifier = \"id\"", "identifier = \"\"", "the identifier's name is blank"),
            ("identifier = \"id\"", r#"identifier = "i\td""#, "identifier \"i\\td\" contains a control"),
            ("column = \"HasLeft\"", "column = \"HasLeft \"", "label \"HasLeft \" has blanks around it"),
            ("[\"surname\"]", "[\"\", \" surname\"]", "ignored column \" surname\" has blanks around it"),
            ("[\"basic\"", r#"["ba\nsic""#, "feature \"plan\": the value \"ba\\nsic\" contains a control"),
            ("[\"basic\"", "[\"basic \"", "feature \"plan\": the value \"basic \" has blanks around it"),
            ("[\"basic\"", "[\"\"", "feature \"plan\": a value is blank"),
            ("positive = \"1\"", "positive = \" \"", "label.positive is blank"),
            ("negative = \"0\"", "negative = \"\"", "label.negative is blank"),
            ("min = 18", "min = -1e39", "min -1e39 is outside the range of single precision"),
            ("min = 18", "max = inf", "max inf is outside the range"),
            ("[\"plan\"]", "[\"plan\", \"plan\"]", "segment \"plan\" is listed twice"),
            ("revenue = \"age\"", "revenue = \"plan\"", "the revenue \"plan\" is not a numeric feature"),
            ("revenue = \"age\"", "revenue = \"salary\"", "the revenue \"salary\" is not a numeric feature"),
            (
                "min = 18",
                "min = -18",
                "the revenue \"age\" may be below 0: give the feature a `min` of 0 or more",
            ),
            ("min = 18", "", "the revenue \"age\" may be below 0"),
        ];
        for (good, bad, said) in cases {
            let message = SchemaFile::parse(&SMALL.replacen(good, bad, 1)).unwrap_err().to_string();
            assert!(message.contains(said), "{said:?} is not in: {message}");
        }
        let ignoring = SMALL.replace("[\"surname\"]", "[\"\", \"surname\"]");
        assert_eq!(SchemaFile::parse(&ignoring).unwrap().schema.ignored, ["", "surname"]);
    }

    #[test]
    fn a_schema_may_be_as_wide_as_an_engine_can_be_configured_to_serve() {
        let wide = |features: usize| {
            let feature = |at: usize| format!("[[features]]\nname = \"f{at}\"\ntype = \"numeric\"\n");
            let features: String = (0..features).map(feature).collect();
            let head =
                "name = \"wide\"\nversion = 1\n[label]\ncolumn = \"y\"\npositive = \"1\"\nnegative = \"0\"\n";
            SchemaFile::parse(&format!("{head}{features}"))
        };
        assert_eq!(wide(5000).unwrap().schema.features.len(), 5000);
        let message = wide(0).unwrap_err().to_string();
        assert!(message.contains("features"), "{message}");
    }

    #[test]
    fn a_label_has_the_keys_of_its_type_and_no_others() {
        let labelled = |label: &str| {
            let head = "name = \"plans\"\nversion = 1\n";
            let features = "[[features]]\nname = \"x\"\ntype = \"numeric\"\n";
            SchemaFile::parse(&format!("{head}[label]\ncolumn = \"plan\"\n{label}\n{features}"))
        };
        let classes =
            labelled("type = \"classes\"\nvalues = [\"basic\", \"gold\", \"none\"]").unwrap().schema;
        assert_eq!((classes.label.task.kind(), classes.label.name.as_str()), (TaskKind::Classes, "plan"));
        assert!(classes.binary().is_none());
        let number = labelled("type = \"number\"").unwrap().schema;
        for schema in [&classes, &number] {
            let text = schema.to_toml().unwrap();
            assert_eq!(SchemaFile::parse(&text).unwrap().schema, *schema, "{text}");
        }
        for (label, said) in [
            ("type = \"classes\"", "label.values is missing, which a label of type \"classes\" needs"),
            ("positive = \"1\"", "label.negative is missing, which a label of type \"binary\" needs"),
            (
                "type = \"number\"\npositive = \"1\"",
                "label.positive is set, and a label of type \"number\" has none",
            ),
            ("type = \"classes\"\nvalues = [\"a\"]", "label.values lists 2 to 1000 classes, this one 1"),
            ("type = \"classes\"\nvalues = [\"a\", \"a\"]", "lists a value twice"),
            ("type = \"classes\"\nvalues = [\"a\", \" b\"]", "label.values \" b\" has blanks around it"),
            (
                "type = \"classes\"\nname = \"probabilities\"\nvalues = [\"a\", \"b\"]",
                "is taken by the answer itself",
            ),
            ("type = \"raw\"", "only an external model has"),
            ("type = \"money\"", "money"),
        ] {
            let message = labelled(label).unwrap_err().to_string();
            assert!(message.contains(said), "{said:?} is not in: {message}");
        }
        let threshold = format!("threshold = 0.4\n{}", number.to_toml().unwrap());
        let message = SchemaFile::parse(&threshold).unwrap_err().to_string();
        assert!(message.contains("threshold is set, and a label of type \"number\" has none"), "{message}");
    }

    #[test]
    fn an_unknown_key_is_named() {
        let message = SchemaFile::parse(&SMALL.replace("version", "verzion")).unwrap_err().to_string();
        assert!(message.contains("verzion"), "{message}");
    }
}
