use std::io::Write as _;

use onnward_schemas::{Classes, Feature, FeatureKind, Task};

use super::*;
use crate::{SampleFormat, write_sample};

/// A table in a folder that goes away with it.
struct Table {
    folder: PathBuf,
    path: PathBuf,
}

impl Table {
    fn new(test: &str, bytes: &[u8]) -> Self {
        let folder = std::env::temp_dir().join(format!("onnward-infer-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("Customers.csv");
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        Self { folder, path }
    }

    fn infer(&self) -> Result<InferredSchema, InferError> {
        infer_schema(&self.path, &InferOptions::default())
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn sampled(text: &str, test: &str) -> (Schema, Table) {
    let file = SchemaFile::parse(text).unwrap();
    let mut bytes = Vec::new();
    write_sample(&file, 3_000, 5, SampleFormat::Csv, &mut bytes, |_| {}).unwrap();
    (file.schema, Table::new(test, &bytes))
}

fn assert_table_reads(schema: &Schema, path: &Path) {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header = reader.headers().unwrap().clone();
    for record in reader.records() {
        let record = record.unwrap();
        for (name, cell) in header.iter().zip(&record) {
            if let Some(index) = schema.index_of(name) {
                assert!(schema.features[index].encode_text(cell).is_ok(), "{name} {cell:?}");
            }
        }
    }
}

/// Returns a feature without what a table cannot show: its description and its limits.
fn visible(feature: &Feature) -> Feature {
    let mut feature = Feature { description: String::new(), ..feature.clone() };
    if let FeatureKind::Numeric { min, max, .. } = &mut feature.kind {
        (*min, *max) = (None, None);
    }
    if let FeatureKind::Categorical { values, unknown } = &mut feature.kind {
        values.sort();
        *unknown = onnward_schemas::UnknownPolicy::Reject;
    }
    feature
}

#[test]
fn a_telco_table_gives_its_schema_back() {
    let (telco, table) = sampled(include_str!("../../../schemas/telco.toml"), "telco");
    let inferred = table.infer().unwrap();
    let schema = &inferred.schema;
    assert_eq!((schema.name.as_str(), inferred.rows), ("customers", 3_000));
    assert_eq!(schema.identifier, telco.identifier);
    assert_eq!(schema.label, telco.label);
    assert!(schema.ignored.is_empty());
    let seen: Vec<Feature> = schema.features.iter().map(visible).collect();
    assert_eq!(seen, telco.features.iter().map(visible).collect::<Vec<_>>());
    assert!(schema.segments.contains(&"PaymentMethod".to_owned()), "{:?}", schema.segments);
    assert_table_reads(schema, &table.path);
}

#[test]
fn a_bank_table_gives_its_schema_back_but_for_numbers_meant_as_categories() {
    let (bank, table) = sampled(include_str!("../../../schemas/bank.toml"), "bank");
    let inferred = table.infer().unwrap();
    let schema = &inferred.schema;
    assert_eq!(schema.identifier, bank.identifier);
    assert_eq!(schema.label, bank.label);
    for (found, wanted) in schema.features.iter().zip(&bank.features) {
        if wanted.name == "NumOfProducts" {
            assert!(found.is_numeric());
            assert!(
                inferred.toml.contains("Takes only 1, 2, 3, 4: make it categorical"),
                "{}",
                inferred.toml
            );
        } else {
            assert_eq!(visible(found), visible(wanted));
        }
    }
    assert_table_reads(schema, &table.path);
}

/// Returns rows with an awkward column of every kind.
fn awkward_table() -> String {
    let mut text = String::from(
        "\u{feff},RowNumber,client id,Surname,Postcode,\"say \"\"hi\"\"\",Country,Old,Fixed,Churn Reason,Attrition_Flag\n",
    );
    for row in 0..60 {
        let reason = if row % 5 == 0 { "price" } else { "" };
        let flag = if row % 5 == 0 { "Attrited Customer" } else { "Existing Customer" };
        let delta = f64::from(row) / 4.0 - 7.0;
        let country = ["None", "FR", "DE"][row as usize % 3];
        text += &format!(
            "{row},{},{},name {row},0{},{delta},{country},,7,{reason},{flag}\n",
            row + 1,
            9000 - row * 7,
            1000 + row % 3
        );
    }
    text
}

#[test]
fn columns_of_no_use_are_ignored_with_a_reason() {
    let table = Table::new("awkward", awkward_table().as_bytes());
    let inferred = table.infer().unwrap();
    let schema = &inferred.schema;
    assert_eq!(schema.identifier.as_deref(), Some("client id"));
    assert_eq!(
        (schema.binary().unwrap().positive.as_str(), schema.label.column.as_str()),
        ("Attrited Customer", "Attrition_Flag")
    );
    assert_eq!(schema.ignored, ["", "RowNumber", "Surname", "Old", "Fixed", "Churn Reason"]);
    let names: Vec<&str> = schema.features.iter().map(|feature| feature.name.as_str()).collect();
    assert_eq!(names, ["Postcode", "say \"hi\"", "Country"]);
    assert_eq!(schema.features[0].categories().unwrap(), ["01000", "01001", "01002"]);
    assert_eq!(schema.features[1].kind, FeatureKind::Numeric { min: None, max: None, integer: false });
    assert!(!schema.features[2].required);
    for comment in ["\"None\" was read as no value", "numbers the rows", "20 of 60 rows", "12 of 60 rows"] {
        assert!(inferred.toml.contains(comment), "{comment}: {}", inferred.toml);
    }
    assert_table_reads(schema, &table.path);
}

#[test]
fn the_label_can_be_named_and_falls_back_to_the_last_column_with_two_values() {
    let text = "plan,vip,gone\na,0,x\nb,1,x\na,0,z\n";
    let table = Table::new("label", text.as_bytes());
    let inferred = table.infer().unwrap();
    assert_eq!(
        (inferred.schema.label.column.as_str(), inferred.schema.binary().unwrap().positive.as_str()),
        ("gone", "z")
    );
    assert!(inferred.toml.contains("Is it the label?") && inferred.toml.contains("the rarer one"));
    let options = InferOptions { name: Some("mine".to_owned()), label: Some("vip".to_owned()) };
    let schema = infer_schema(&table.path, &options).unwrap().schema;
    assert_eq!((schema.name.as_str(), schema.binary().unwrap().positive.as_str()), ("mine", "1"));
    assert_eq!(schema.segments, ["plan", "gone"]);
}

#[test]
fn tables_without_a_schema_say_why() {
    let cases = [
        ("header", "a,b\n", "has no rows"),
        ("nothing", "", "has no rows"),
        ("twice", "a,a\n1,2\n", "two columns named \"a\""),
        ("ragged", "a,b\n1,2\n1\n", "line 3: has 1 cell where the header has 2: a cell is missing"),
        ("numbers", "a,b\n1,4\n2,5\n3,6\n", "no column with two values"),
        ("semicolons", "a;b\n1;4\n2;5\n3;6\n", "not separated by commas"),
        ("alone", "churn\nYes\nNo\n", "no column from which \"churn\""),
        ("taken", "features,churn\n2.5,Yes\n3.5,No\n", "\"features\" is taken"),
    ];
    for (test, text, reason) in cases {
        let message = Table::new(test, text.as_bytes()).infer().unwrap_err().to_string();
        assert!(message.contains(reason) && (message.contains("Customers.csv")), "{message}");
    }
    let message = Table::new("latin1", b"a,b\n1,2\n\xe4,3\n").infer().unwrap_err().to_string();
    assert!(message.contains("line 3: is not UTF-8 text: save the file as UTF-8"), "{message}");
    let missing = infer_schema(Path::new("nowhere.csv"), &InferOptions::default()).unwrap_err();
    assert!(missing.to_string().starts_with("cannot open nowhere.csv"), "{missing}");
    let table = Table::new("named", b"a,b\n1,x\n1,y\n1,x\n");
    let label = |name: &str| InferOptions { label: Some(name.to_owned()), ..InferOptions::default() };
    let message = infer_schema(&table.path, &label("c")).unwrap_err().to_string();
    assert!(message.contains("no column \"c\"") && message.contains("it has \"a\", \"b\""), "{message}");
    let message = infer_schema(&table.path, &label("a")).unwrap_err().to_string();
    let refused = "a label has two values, some classes or numbers, and this column has one value";
    assert_eq!(message, format!("\"a\" cannot be the label: {refused}"));
}

#[test]
fn a_label_of_classes_or_numbers_is_proposed_by_its_values() {
    let rows: String = (0..60)
        .map(|row| format!("{},{}.5,{},{}\n", row % 7, row, ["a", "b", "c"][row % 3], row % 4))
        .collect();
    let table = Table::new("tasks", format!("visits,price,plan,stars\n{rows}").as_bytes());
    let task = |name: &str| {
        let options = InferOptions { label: Some(name.to_owned()), ..InferOptions::default() };
        let inferred = infer_schema(&table.path, &options).unwrap();
        assert!(!inferred.toml.contains("threshold"), "{}", inferred.toml);
        (inferred.schema.label.task, inferred.toml)
    };
    let classes = |values: &[&str]| {
        Task::Classes(Classes { values: values.iter().map(|value| (*value).to_owned()).collect() })
    };
    assert_eq!(task("plan").0, classes(&["a", "b", "c"]));
    let (stars, toml) = task("stars");
    assert_eq!(stars, classes(&["0", "1", "2", "3"]));
    assert!(toml.contains("For a quantity, write type = \"number\""), "{toml}");
    assert_eq!(task("price").0, Task::Number);
    // Nothing is an outcome too, unless all other rows say yes or no.
    let infer = |values: [&str; 4]| {
        let rows: String = (0..60).map(|row| format!("{row}.5,{}\n", values[row % 4])).collect();
        Table::new("nothing", format!("visits,target\n{rows}").as_bytes()).infer().unwrap()
    };
    let plans = infer(["gold", "none", "silver", "basic"]);
    assert_eq!(plans.schema.label.task, classes(&["basic", "gold", "none", "silver"]));
    assert!(plans.toml.contains("\"none\" was read as a class of 15 rows"), "{}", plans.toml);
    let answers = infer(["yes", "none", "no", "no"]);
    assert!(answers.schema.binary().is_some());
    assert!(answers.toml.contains("\"none\" was read as no label in 15 rows"), "{}", answers.toml);
    let named = Table::new("target", format!("visits,target,plan,stars\n{rows}").as_bytes()).infer().unwrap();
    assert_eq!((named.schema.label.column.as_str(), named.schema.label.task), ("target", Task::Number));
}
