//! Reading tables: which are accepted, and the message for each that is rejected.

use crate::samples::{BANK, SHOP, schema, table};
use onnward_models::{Dataset, DatasetError, LabelSummary, Labels, OnInvalid, RowReason, ValueSummary};

const GOOD: &str = "\
id,plan,age,spend,left
a,basic,30,1.5,yes
b,full,40,,no
c,basic,50,NA,no
";

fn read(name: &str, content: impl AsRef<[u8]>, on_invalid: OnInvalid) -> Result<Dataset, DatasetError> {
    Dataset::read(&table(name, content), &schema(SHOP), on_invalid)
}

fn message(name: &str, content: impl AsRef<[u8]>) -> String {
    read(name, content, OnInvalid::Fail).unwrap_err().to_string()
}

#[track_caller]
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

#[test]
fn a_table_is_encoded_in_the_order_of_the_schema() {
    let data = read("good", GOOD, OnInvalid::Fail).unwrap();
    let positives = data.labels.binary().unwrap().iter().filter(|label| **label).count();
    assert_eq!((data.rows(), positives, data.skipped.rows), (3, 1, 0));
    assert_eq!(data.labels, Labels::Binary(vec![true, false, false]));
    assert_eq!(data.features.row(0).to_vec(), [30.0, 0.0, 1.5]);
    assert_eq!(data.features.row(1).to_vec()[..2], [40.0, 1.0]);
    assert!(data.features[(1, 2)].is_nan() && data.features[(2, 2)].is_nan());
    assert_eq!(data.sha256, onnward_schemas::sha256_hex(GOOD.as_bytes()));
}

#[test]
fn column_order_byte_order_mark_line_ends_blanks_and_quotes_do_not_matter() {
    let reordered = "\u{feff}left, spend ,age,plan,id\r\nyes, 1.5 ,30,\"basic\",a\r\nno,,40, full,b\r\n\
                     no,NA,50,basic,c\r\n";
    let data = read("reordered", reordered, OnInvalid::Fail).unwrap();
    let expected = read("good_too", GOOD, OnInvalid::Fail).unwrap();
    assert_eq!(data.labels, expected.labels);
    assert_eq!(format!("{}", data.features), format!("{}", expected.features));
}

#[test]
fn a_header_that_does_not_fit_is_named() {
    assert_says(&message("empty", ""), &["is empty", "header"]);
    assert_says(&message("header_only", "id,plan,age,spend,left\n"), &["has a header but no rows"]);
    let missing = GOOD.replace("age", "years").replace("spend", "costs");
    assert_says(
        &message("missing", missing),
        &["lacks the schema's columns \"age\", \"spend\"", "\"years\""],
    );
    let unknown =
        GOOD.replace("left\n", "left,colour\n").replace("yes\n", "yes,red\n").replace("no\n", "no,red\n");
    assert_says(&message("unknown", unknown), &["has the column \"colour\"", "`ignored`"]);
    assert_says(&message("repeated", GOOD.replace("spend", "age")), &["two columns named \"age\""]);
    assert_says(&message("latin1", b"id,plan,\xe4ge\na,b,c\n"), &["not UTF-8"]);
    let wide: Vec<String> = (0..20_000).map(|at| format!("{at}{}", "x".repeat(80))).collect();
    let wide = message("wide", format!("{},{}", wide.join(","), GOOD));
    assert_says(&wide, &["\"9xxx", "xxx…\", and 19990 more, which"]);
    assert!(wide.len() < 1200 && !wide.contains("\"10xxx"), "{wide}");
    for separator in [";", "\t"] {
        let separated = message("separated", GOOD.replace(',', separator));
        assert_says(&separated, &["the cells are separated by", "and not by commas"]);
    }
    let cased = GOOD.replace("age", "Age").replace("left\n", "LEFT\n");
    let said = ["\"age\" is \"Age\" in the file", "\"left\" is \"LEFT\" in the file", "upper and lower case"];
    assert_says(&message("cased", cased), &said);
    let pandas: Vec<String> = GOOD
        .lines()
        .enumerate()
        .map(|(at, line)| if at == 0 { format!(",{line}") } else { format!("{at},{line}") })
        .collect();
    let pandas = message("pandas", pandas.join("\n"));
    assert_says(&pandas, &["column 1", "has no name", "list it as \"\" under `ignored`"]);
    let nowhere = std::path::Path::new("/nowhere/at all.csv");
    let error = Dataset::read(nowhere, &schema(SHOP), OnInvalid::Fail).unwrap_err();
    assert_says(&error.to_string(), &["cannot read /nowhere/at all.csv"]);
}

#[test]
fn a_column_that_the_schema_ignores_may_hold_anything_or_be_absent() {
    let ignoring = SHOP.replace("identifier", "ignored = [\"note\"]\n    identifier");
    let with_note =
        GOOD.replace("left\n", "left,note\n").replace("yes\n", "yes,?!\n").replace("no\n", "no,\n");
    for content in [GOOD, &with_note] {
        let data = Dataset::read(&table("ignored", content), &schema(&ignoring), OnInvalid::Fail).unwrap();
        assert_eq!(data.labels, read("good", GOOD, OnInvalid::Fail).unwrap().labels);
    }
}

#[test]
fn every_bad_row_is_reported_with_line_column_and_reason() {
    let mut bad = GOOD.as_bytes().to_vec();
    bad.extend_from_slice(
        b"d,gold,-1,x,no\n\nb,basic,30,1,no\ne,basic,30,1,maybe\nf,basic,30,1\ng,\xff,30,1,no\n",
    );
    bad.extend_from_slice(b"h,,30,1,no\n");
    let error = read("bad", &bad, OnInvalid::Fail).unwrap_err();
    assert_says(
        &error.to_string(),
        &[
            "6 of the 9 rows of",
            ".csv are invalid: correct them, or leave them out with `train --on-invalid skip`",
            "line 5, column \"plan\": expected one of \"basic\", \"full\", got \"gold\"",
            "line 5, column \"age\": expected a whole number of at least 0, got -1",
            "line 5, column \"spend\": expected a number, got \"x\"",
            "line 7, column \"id\": the identifier \"b\" is already on line 3",
            "line 8, column \"left\": expected the label \"yes\" or \"no\", got \"maybe\"",
            "line 9: has 4 cells where the header has 5: a cell is missing",
            "line 10, column \"plan\": is not UTF-8",
            "line 11, column \"plan\": expected one of \"basic\", \"full\", got nothing",
        ],
    );
    let DatasetError::InvalidRows { invalid, .. } = error else { panic!("{error}") };
    assert_eq!((invalid.rows, invalid.total_problems), (6, 8));
    assert!(matches!(invalid.problems[3].reason, RowReason::DuplicateIdentifier { first_line: 3, .. }));

    // The lines are the same where they end as on Windows.
    let windows = String::from_utf8_lossy(&bad).replace('\n', "\r\n").replace('\u{fffd}', "x");
    let windows = message("windows", windows);
    assert_says(
        &windows,
        &["line 5, column \"plan\"", "line 7, column \"id\"", "already on line 3", "line 9: has 4"],
    );

    let data = read("bad_skipped", &bad, OnInvalid::Skip).unwrap();
    assert_eq!((data.rows(), data.skipped.rows, data.summary().skipped_rows), (3, 6, 6));
    assert_eq!(data.skipped, invalid);
}

#[test]
fn columns_in_which_all_rows_are_equal_are_named() {
    assert_eq!(read("one_spend", GOOD, OnInvalid::Fail).unwrap().uninformative(), ["spend"]);
    let same = "id,plan,age,spend,left\na,basic,30,,yes\nb,basic,40,,no\nc,basic,50,7,no\n";
    assert_eq!(read("same", same, OnInvalid::Fail).unwrap().uninformative(), ["plan", "spend"]);
    let data = read("spread", same.replace("40,,", "40,8,"), OnInvalid::Fail).unwrap();
    assert_eq!(data.uninformative(), ["plan"]);
}

#[test]
fn a_long_list_of_problems_is_cut_and_counted() {
    let mut bad = GOOD.to_owned();
    for row in 0..50 {
        bad.push_str(&format!("x{row},gold,1,1,no\n"));
    }
    let message = message("long", &bad);
    assert_says(&message, &["50 of the 53 rows", "line 24, ", "and 30 more"]);
    assert!(!message.contains("line 25,"), "{message}");
}

#[test]
fn a_table_of_one_class_or_of_invalid_rows_alone_cannot_be_trained_on() {
    let message = message("one_class", GOOD.replace("yes", "no"));
    assert_says(&message, &["every row of", "has left = \"no\"", "add rows with \"yes\""]);
    let hopeless = "id,plan,age,spend,left\na,gold,1,1,no\n";
    let error = read("hopeless", hopeless, OnInvalid::Skip).unwrap_err();
    assert_says(
        &error.to_string(),
        &["1 of the 1 row of", "csv is invalid: correct the table or the schema", "gold"],
    );
    assert!(!error.to_string().contains("skip"), "{error}");
}

#[test]
fn a_category_that_looks_like_a_number_and_a_schema_without_identifier_are_read() {
    let bank = table("bank", "products,active,balance,Exited\n1,0,100.5,1\n2,1,,0\n7,1,3,0\n");
    let data = Dataset::read(&bank, &schema(BANK), OnInvalid::Skip).unwrap();
    assert_eq!((data.rows(), data.skipped.rows), (2, 1));
    assert_eq!(data.features.column(1).to_vec(), [0.0, 1.0]);
}

#[test]
fn the_summary_counts_values_and_positives() {
    let summary = read("summary", GOOD, OnInvalid::Fail).unwrap().summary();
    assert_eq!((summary.rows, &summary.label), (3, &LabelSummary::Binary { positives: 1 }));
    assert_eq!((summary.features[2].name.as_str(), summary.features[2].missing), ("spend", 2));
    let ValueSummary::Categorical { values } = &summary.features[1].values else {
        panic!("plan is a category")
    };
    let counts: Vec<_> =
        values.iter().map(|group| (group.name.as_str(), group.rows, group.label.clone())).collect();
    let of = |positives| LabelSummary::Binary { positives };
    assert_eq!(counts, [("basic", 2, of(1)), ("full", 1, of(0))]);
    let ValueSummary::Numeric { min, mean, median, max, .. } = &summary.features[0].values else {
        panic!("age is a number")
    };
    assert_eq!((*min, *mean, *median, *max), (30.0, 40.0, 40.0, 50.0));
}
