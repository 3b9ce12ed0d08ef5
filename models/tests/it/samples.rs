//! Two small schemas, and tables drawn for them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use onnward_schemas::{Schema, SchemaFile};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const SHOP: &str = r#"
    name = "shop"
    version = 1
    identifier = "id"
    label = { column = "left", positive = "yes", negative = "no" }
    [[features]]
    name = "age"
    type = "numeric"
    min = 0
    integer = true
    [[features]]
    name = "plan"
    type = "categorical"
    values = ["basic", "full"]
    [[features]]
    name = "spend"
    type = "numeric"
    required = false
"#;

pub const BANK: &str = r#"
    name = "bank"
    version = 3
    threshold = 0.3
    label = { column = "Exited", name = "closes", positive = "1", negative = "0" }
    [[features]]
    name = "products"
    type = "numeric"
    min = 1
    max = 4
    integer = true
    [[features]]
    name = "active"
    type = "categorical"
    values = ["0", "1"]
    unknown = "ignore"
    [[features]]
    name = "balance"
    type = "numeric"
    required = false
    min = 0
"#;

pub fn schema(text: &str) -> Schema {
    SchemaFile::parse(text).unwrap().schema
}

/// Writes a table into the tests' own folder, under a name of its own: tests run side by side.
pub fn table(name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    static WRITTEN: AtomicUsize = AtomicUsize::new(0);
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{number}.csv"));
    fs::write(&path, content).unwrap();
    path
}

/// Returns a shop's customers. Young ones of the basic plan leave; `spend` has no effect.
pub fn shop_rows(rows: usize, seed: u64) -> String {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut text = "id,age,plan,spend,left\n".to_owned();
    for id in 0..rows {
        let age = random.random_range(18..80);
        let basic = random.random_bool(0.5);
        let spend =
            if random.random_bool(0.1) { String::new() } else { random.random_range(0..9999).to_string() };
        let leaves = random.random_bool(if basic && age < 45 { 0.8 } else { 0.1 });
        let plan = if basic { "basic" } else { "full" };
        let left = if leaves { "yes" } else { "no" };
        text.push_str(&format!("c{id},{age},{plan},{spend},{left}\n"));
    }
    text
}

/// Returns a bank's customers. Those with one product and no activity leave, which is one in five.
pub fn bank_rows(rows: usize, seed: u64) -> String {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut text = "active,balance,Exited,products\n".to_owned();
    for _ in 0..rows {
        let active = if random.random_bool(0.02) { "closed" } else { ["0", "1"][random.random_range(0..2)] };
        let products = random.random_range(1..5);
        let balance = random.random_range(0..200_000);
        let exited = random.random_bool(if active == "0" && products == 1 { 0.9 } else { 0.1 });
        text.push_str(&format!("{active},{balance}.5,{},{products}\n", u8::from(exited)));
    }
    text
}
