use super::*;

const TELCO: &str = include_str!("../../../schemas/telco.toml");
const BANK: &str = include_str!("../../../schemas/bank.toml");
const SMALL: &str = r#"
    name = "small"
    version = 1
    [label]
    column = "left"
    positive = "yes"
    negative = "no"
    [[features]]
    name = "plan"
    type = "categorical"
    values = ["basic", "full"]
    [[features]]
    name = "months"
    type = "numeric"
    min = 0
    max = 12
    integer = true
    [[features]]
    name = "fee"
    type = "numeric"
    required = false
    min = 5
    [[features]]
    name = "paid"
    type = "numeric"
    required = false
"#;
const SMALL_SAMPLE: &str = r#"
    [sample]
    about = "for a test"
    [[sample.columns]]
    column = "plan"
    draw.category.weights.any = [1, 1]
    [[sample.columns]]
    column = "months"
    draw.quantiles.given = "plan"
    draw.quantiles.at = { basic = [0, 0], full = [6, 40] }
    [[sample.columns]]
    column = "fee"
    missing = 0.2
    draw.linear.mean = { intercept = 4, terms = [{ column = "plan", values = { full = 20 } }] }
    draw.linear.noise = 2
    draw.linear.decimals = 1
    [[sample.columns]]
    column = "paid"
    draw.product.of = ["months", "fee"]
    draw.product.decimals = 1
    [sample.label]
    intercept = 50
    terms = [{ column = "plan", values = { full = -100 } }]
"#;

fn schema_file(text: &str) -> SchemaFile {
    SchemaFile::parse(text).unwrap()
}

fn sample(file: &SchemaFile, rows: u64, seed: u64) -> String {
    let mut out = Vec::new();
    write_sample(file, rows, seed, SampleFormat::Csv, &mut out, |_| {}).unwrap();
    String::from_utf8(out).unwrap()
}

/// Holds every cell against the schema and returns the share of positive rows.
fn check_table(file: &SchemaFile, table: &str, rows: usize) -> f64 {
    let schema = &file.schema;
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let first = usize::from(schema.identifier.is_some());
    let header = reader.headers().unwrap().clone();
    assert_eq!(header.get(0), schema.identifier.as_deref().or(Some(schema.features[0].name.as_str())));
    assert_eq!(header.get(first + schema.features.len()), Some(schema.label.column.as_str()));
    let mut identifiers = std::collections::HashSet::new();
    let mut positives = 0;
    let mut count = 0;
    for record in reader.records() {
        let record = record.unwrap();
        count += 1;
        if first == 1 {
            assert!(identifiers.insert(record[0].to_owned()), "{record:?}");
        }
        for (index, feature) in schema.features.iter().enumerate() {
            assert_eq!(header[first + index], feature.name);
            let cell = &record[first + index];
            assert!(feature.encode_text(cell).is_ok(), "{} {cell:?}", feature.name);
        }
        let label = &record[record.len() - 1];
        assert!(schema.binary().unwrap().truth_of(label).is_some());
        positives += usize::from(schema.binary().unwrap().truth_of(label) == Some(true));
    }
    assert_eq!(count, rows);
    positives as f64 / rows as f64
}

#[test]
fn drawn_customers_satisfy_their_schema_and_leave_at_the_published_rate() {
    for (text, rate) in [(TELCO, 0.265), (BANK, 0.20)] {
        let file = schema_file(text);
        let drawn = check_table(&file, &sample(&file, 20_000, 1), 20_000);
        // Four standard errors of a share of 20,000 rows.
        assert!((drawn - rate).abs() < 0.013, "{} {drawn}", file.schema.name);
    }
}

#[test]
fn a_schema_without_a_model_is_drawn_from_the_default_one() {
    for text in [TELCO, BANK, SMALL] {
        let mut file = schema_file(text);
        file.sample = None;
        let rate = check_table(&file, &sample(&file, 5_000, 1), 5_000);
        assert!((0.2..0.4).contains(&rate), "{} {rate}", file.schema.name);
    }
}

#[test]
fn one_seed_gives_one_table_and_a_longer_one_begins_alike() {
    let file = schema_file(TELCO);
    let table = sample(&file, 300, 42);
    assert_eq!(table, sample(&file, 300, 42));
    assert!(sample(&file, 900, 42).starts_with(&table));
    assert_ne!(table, sample(&file, 300, 43));
}

#[test]
fn the_bytes_of_a_seed_are_those_of_every_release() {
    let file = schema_file(&format!("{SMALL}{SMALL_SAMPLE}"));
    assert_eq!(
        sample(&file, 6, 1),
        "plan,months,fee,paid,left\nbasic,0,5,,yes\nbasic,0,7.9,,yes\nbasic,0,5,,yes\nfull,11,22.6,248.6,no\nbasic,0,5,,yes\n\
         full,12,22.8,273.6,no\n"
    );
}

#[test]
fn draws_follow_earlier_columns_and_stay_in_range() {
    let file = schema_file(&format!("{SMALL}{SMALL_SAMPLE}"));
    let table = sample(&file, 2_000, 7);
    check_table(&file, &table, 2_000);
    let mut blank_fees = 0;
    for record in csv::Reader::from_reader(table.as_bytes()).records() {
        let record = record.unwrap();
        let full = &record[0] == "full";
        let months: f64 = record[1].parse().unwrap();
        assert_eq!(&record[4] == "no", full, "{record:?}");
        assert!(if full { (6.0..=12.0).contains(&months) } else { months == 0.0 }, "{record:?}");
        assert_eq!(record[3].is_empty(), months == 0.0, "{record:?}");
        match record[2].parse::<f64>() {
            Ok(fee) if full => {
                assert!((12.0..36.0).contains(&fee), "{record:?}");
                assert!((record[3].parse::<f64>().unwrap() - fee * months).abs() < 0.06, "{record:?}");
            }
            Ok(fee) => assert!((5.0..16.0).contains(&fee), "{record:?}"),
            Err(_) => blank_fees += 1,
        }
    }
    assert!((300..500).contains(&blank_fees), "{blank_fees}");
}

#[test]
fn services_follow_the_internet_connection() {
    let file = schema_file(TELCO);
    let table = sample(&file, 2_000, 3);
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (internet, security) = (column("InternetService"), column("OnlineSecurity"));
    for record in reader.records() {
        let record = record.unwrap();
        assert_eq!(&record[internet] == "No", &record[security] == "No internet service", "{record:?}");
    }
}

#[test]
fn a_model_that_contradicts_its_schema_and_a_full_disk_are_reported() {
    let mut file = schema_file(BANK);
    let mut told = Vec::new();
    write_sample(&file, 3_000, 1, SampleFormat::Csv, io::sink(), |rows| told.push(rows)).unwrap();
    assert_eq!(told, [1024, 2048, 3000]);
    let mut small = [0_u8; 64];
    let error = write_sample(&file, 3_000, 1, SampleFormat::Csv, small.as_mut_slice(), |_| {}).unwrap_err();
    assert!(matches!(error, SampleError::Write { .. }), "{error}");
    file.sample.as_mut().unwrap().columns.clear();
    let error = write_sample(&file, 1, 1, SampleFormat::Csv, io::sink(), |_| {}).unwrap_err();
    assert!(error.to_string().contains("\"Age\" is not drawn"), "{error}");
}

#[test]
fn json_lines_hold_what_a_request_may_and_the_same_customers_as_the_table() {
    for text in [TELCO, BANK] {
        let file = schema_file(text);
        let mut lines = Vec::new();
        write_sample(&file, 200, 3, SampleFormat::JsonLines, &mut lines, |_| {}).unwrap();
        let table = sample(&file, 200, 3);
        let mut table = csv::Reader::from_reader(table.as_bytes());
        let header = table.headers().unwrap().clone();
        for (line, record) in std::str::from_utf8(&lines).unwrap().lines().zip(table.records()) {
            let record = record.unwrap();
            let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
            assert!(!row.contains_key(&file.schema.label.column));
            for (column, cell) in header.iter().zip(&record) {
                let same = match row.get(column) {
                    Some(serde_json::Value::String(text)) => text == cell,
                    Some(number) => format!("{number}") == cell,
                    None => cell.is_empty() || file.schema.index_of(column).is_none(),
                };
                assert!(same, "{column}: {cell:?} in {line}");
            }
        }
    }
}
