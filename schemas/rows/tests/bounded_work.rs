//! A body's work is bounded by its bytes and by the cells of its matrix, whatever it holds.
//!
//! Work is counted in allocations, which are the same on every machine: each message of a violation makes a
//! few.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::alloc::System;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use onnward_rows::{ParseError, ParsedRows, RowParser, RowsLimits};
use onnward_schemas::{Schema, SchemaFile, Violations};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test at a time: the allocator counts for all threads.
static ALONE: Mutex<()> = Mutex::new(());

const ROWS: usize = 10_000;
const LIMITS: RowsLimits = RowsLimits::of_rows(ROWS);
/// The maximum number of allocations for a listed violation, and for everything else.
const A_VIOLATION: usize = 40;
const ALL_ELSE: usize = 400;

/// Returns a schema of so many features, every other one of which is categorical.
fn schema(features: usize, required: bool) -> Schema {
    let mut toml =
        "name = \"wide\"\nversion = 1\nlabel = { column = \"y\", positive = \"1\", negative = \"0\" }"
            .to_owned();
    for feature in 0..features {
        let kind = match feature % 2 {
            0 => "type = \"numeric\"\nmin = 0",
            _ => "type = \"categorical\"\nvalues = [\"basic\", \"full\"]",
        };
        write!(toml, "\n[[features]]\nname = \"f{feature}\"\nrequired = {required}\n{kind}").unwrap();
    }
    SchemaFile::parse(&toml).unwrap().schema
}

fn measured(parser: &RowParser, body: &str, limits: RowsLimits) -> (Result<ParsedRows, ParseError>, Stats) {
    let region = Region::new(ALLOCATOR);
    let parsed = parser.parse(body.as_bytes(), limits, false);
    (parsed, region.change())
}

/// Returns the violations of a body, after checking that only the listed ones made messages.
#[track_caller]
fn rejected(parser: &RowParser, body: &str) -> Violations {
    let (parsed, stats) = measured(parser, body, LIMITS);
    let Err(ParseError::Invalid(violations)) = parsed else { panic!("it is not rejected") };
    let made = stats.allocations + stats.reallocations;
    let most = violations.listed().len() * A_VIOLATION + ALL_ELSE;
    assert!(
        made <= most,
        "{made} allocations for {} violations of {}: {}",
        violations.listed().len(),
        violations.total(),
        &body[..body.len().min(80)]
    );
    let memory = 256 * 1024 + 64 * parser.schema().features.len() + 4 * body.len();
    assert!(stats.bytes_allocated <= memory, "{} bytes for a body of {}", stats.bytes_allocated, body.len());
    violations
}

fn list(row: &str, rows: usize) -> String {
    format!("[{}]", vec![row; rows].join(","))
}

#[test]
fn empty_objects_make_no_more_messages_than_are_listed_however_many_fields_they_lack() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for features in [1, 2, 19, 99, 100, 101, 1000] {
        let parser = RowParser::new(schema(features, true));
        for rows in [1, 2, 100, ROWS] {
            let violations = rejected(&parser, &list("{}", rows));
            assert_eq!(violations.total(), rows * features, "all are counted");
            assert_eq!(violations.listed().len(), (rows * features).min(Violations::LISTED));
            let last = violations.listed().last().unwrap();
            let at = violations.listed().len() - 1;
            assert_eq!(last.pointer, format!("/{}/f{}", at / features, at % features));
        }
    }
}

#[test]
fn whatever_is_wrong_with_many_rows_makes_no_more_messages_than_are_listed() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for features in [1, 20, 1000] {
        let parser = RowParser::new(schema(features, false));
        let all = |value: &str| {
            let fields: Vec<String> = (0..features).map(|at| format!("\"f{at}\":{value}")).collect();
            fields.join(",")
        };
        let rows = (20_000 / features).clamp(200, ROWS);
        for (row, wrong) in [
            // Values of the wrong kind, all of them in one row.
            (format!("{{{}}}", all("[]")), features),
            (format!("{{{}}}", all("{\"a\":[1,{\"b\":2}]}")), features),
            (format!("{{{}}}", all("\"none of these\"")), features),
            (format!("{{{}}}", all("true")), features),
            // A field twice.
            ("{\"f0\":1,\"f0\":1}".to_owned(), 1),
            ("{\"f0\":-1,\"f0\":1}".to_owned(), 2),
            // Fields that the schema does not have.
            ("{\"F0\":1}".to_owned(), 1),
            (format!("{{{}}}", all("0").replace('f', "no")), features),
        ] {
            let violations = rejected(&parser, &list(&row, rows));
            assert_eq!(violations.total(), rows * wrong, "{row}");
            assert_eq!(violations.listed().len(), (rows * wrong).min(Violations::LISTED), "{row}");
        }
        // No rows at all: one violation for the list.
        for row in ["7", "[{},[{}]]"] {
            assert_eq!(rejected(&parser, &list(row, rows)).total(), 1, "{row}");
        }
    }
}

#[test]
fn the_matrix_of_a_body_is_bounded_although_its_rows_are_empty() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let parser = RowParser::new(schema(1000, false));
    let limits = RowsLimits { max_rows: ROWS, max_cells: 100_000 };
    let (parsed, _) = measured(&parser, &list("{}", 100), limits);
    assert_eq!(parsed.unwrap().rows.values.len(), 100_000);
    for body in [list("{}", ROWS), list("{\"f0\":1}", ROWS)] {
        let (parsed, stats) = measured(&parser, &body, limits);
        let Err(ParseError::Invalid(violations)) = parsed else { panic!("it is not rejected") };
        let [only] = violations.listed() else { panic!("{violations:?}") };
        assert_eq!(only.expected, "at most 100 rows of 1000 features");
        assert_eq!(only.got, "10000 rows");
        // Both readers fill a matrix, and a vector has doubled until it is as large.
        assert!(stats.bytes_allocated < 20 * 100_000, "{} bytes", stats.bytes_allocated);
    }
}

#[test]
fn long_names_in_a_schema_do_not_make_an_answer_without_bound() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let long = "x".repeat(20_000);
    let mut schema = schema(100, true);
    for feature in &mut schema.features {
        feature.name.push_str(&long);
    }
    let parser = RowParser::new(schema);
    let (parsed, stats) = measured(&parser, &list("{}", 1000), LIMITS);
    let Err(ParseError::Invalid(violations)) = parsed else { panic!("it is not rejected") };
    let bytes: usize = violations.listed().iter().map(|one| one.pointer.len() + one.expected.len()).sum();
    assert!(bytes <= Violations::LISTED_BYTES, "{bytes} bytes");
    assert_eq!((violations.listed().len(), violations.total()), (13, 100_000));
    assert!(stats.bytes_allocated < 10 * Violations::LISTED_BYTES, "{} bytes", stats.bytes_allocated);
}
