use tempfile::TempDir;

use super::*;
use crate::fixtures::api_key;

/// A file of keys: each with a name, scopes and an end.
struct KeysFile {
    folder: TempDir,
    text: String,
}

impl KeysFile {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), text: String::new() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("keys.toml")
    }

    /// Adds a key, and gives what its holder presents.
    fn add(&mut self, name: &str, scopes: &str, rest: &str) -> String {
        let (key, entry) = api_key(name, scopes, rest);
        self.text.push_str(&entry);
        std::fs::write(self.path(), &self.text).unwrap();
        key
    }

    fn refusal(text: &str) -> String {
        let file = Self::new();
        std::fs::write(file.path(), text).unwrap();
        Authenticator::open(&file.path()).unwrap_err().to_string()
    }
}

fn at(time: &str) -> DateTime<Utc> {
    time.parse().unwrap()
}

#[test]
fn each_of_several_keys_is_its_holders_and_nothing_else_is() {
    let mut file = KeysFile::new();
    let batch = file.add("batch-job", "'predict'", "");
    let operator = file.add("operator", "'read', 'admin'", "");
    let keys = Authenticator::open(&file.path()).unwrap();
    let identify = |key: &str| keys.identify(key, Utc::now());
    assert_eq!(identify(&batch).unwrap().scopes, [Scope::Predict]);
    assert_eq!(identify(&operator).unwrap().name, "operator");

    let digits = batch.rsplit_once('_').unwrap().1;
    let other_digit = |digit: &str| if digit == "0" { "1" } else { "0" };
    let first_changed = batch.replace(digits, &format!("{}{}", other_digit(&digits[..1]), &digits[1..]));
    let last_changed = batch.replace(digits, &format!("{}{}", &digits[..63], other_digit(&digits[63..])));
    for wrong in [
        "",
        "onnward_",
        digits,
        &batch[1..],
        &format!("{batch}0"),
        &batch.to_uppercase(),
        &batch.replace("batch-job", "operator"),
        &first_changed,
        &last_changed,
        &generate("batch-job").unwrap(),
        &generate("nobody").unwrap(),
        // What the file holds opens nothing.
        &format!("onnward_batch-job_{}", onnward_schemas::sha256_hex(batch.as_bytes())),
        // No key of a name that is not there, whatever its digest.
        &format!("onnward_nobody_{}", "0".repeat(64)),
    ] {
        assert_eq!(identify(wrong), Err(Refusal::Unknown), "{wrong}");
    }
}

#[test]
fn a_key_ends_with_its_time() {
    let mut file = KeysFile::new();
    let key = file.add("batch-job", "'predict'", "expires = '2030-01-01T00:00:00Z'");
    let keys = Authenticator::open(&file.path()).unwrap();
    assert!(keys.identify(&key, at("2029-12-31T23:59:59Z")).is_ok());
    assert_eq!(keys.identify(&key, at("2030-01-01T00:00:00Z")), Err(Refusal::Expired));
}

#[tokio::test(start_paused = true)]
async fn keys_come_and_go_without_a_restart_and_a_broken_file_changes_nothing() {
    let mut file = KeysFile::new();
    let first = file.add("first", "'predict'", "");
    let keys = Arc::new(Authenticator::open(&file.path()).unwrap());
    let pause = Duration::from_secs(5);
    let watching = tokio::spawn(Arc::clone(&keys).watch(pause));
    let looked_again = async || {
        // The look itself is on a thread of its own, which the paused clock does not wait for.
        for _ in 0..3 {
            tokio::time::sleep(pause).await;
            tokio::task::spawn_blocking(|| ()).await.unwrap();
        }
    };

    let second = file.add("second", "'predict'", "");
    looked_again().await;
    assert!(keys.identify(&first, Utc::now()).is_ok() && keys.identify(&second, Utc::now()).is_ok());

    std::fs::write(file.path(), "[[keys]]\nname = 'half").unwrap();
    looked_again().await;
    assert!(keys.identify(&second, Utc::now()).is_ok());

    file.text.clear();
    let third = file.add("third", "'predict'", "");
    looked_again().await;
    assert_eq!(keys.identify(&first, Utc::now()), Err(Refusal::Unknown));
    assert!(keys.identify(&third, Utc::now()).is_ok());
    watching.abort();
}

#[test]
fn a_file_that_means_nothing_is_refused_with_the_entry_and_without_its_digest() {
    let digest = "ab".repeat(32);
    let entry = |name: &str, digest: &str, scopes: &str| {
        format!("[[keys]]\nname = '{name}'\nsha256 = '{digest}'\nscopes = [{scopes}]\n")
    };
    for (text, expected) in [
        (entry("Upper", &digest, "'read'"), "must have a name"),
        (entry("short", &digest[..62], "'read'"), "64 hexadecimal digits"),
        (entry("odd", &format!("{}g", &digest[1..]), "'read'"), "64 hexadecimal digits"),
        (entry("idle", &digest, ""), "at least one of the scopes"),
        (entry("root", &digest, "'root'"), "unknown variant"),
        (entry("twin", &digest, "'read'").repeat(2), "is there twice"),
        ("keys = 3".to_owned(), "cannot be understood"),
    ] {
        let refusal = KeysFile::refusal(&text);
        assert!(refusal.contains(expected) && !refusal.contains(&digest[..62]), "{text}: {refusal}");
    }
    assert!(Authenticator::open(Path::new("/no/keys.toml")).unwrap_err().to_string().contains("cannot read"));
}
