use std::path::PathBuf;

use onnward_telemetry::logging::LogFormat;
use tempfile::TempDir;

use super::*;
use crate::fixtures::{api_key, captured_log};

/// A file of keys: each with a name, scopes and an expiry time.
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

    /// Adds a key, and returns it as a client sends it.
    fn add(&mut self, name: &str, scopes: &str, rest: &str) -> String {
        let (key, entry) = api_key(name, scopes, rest);
        self.text.push_str(&entry);
        std::fs::write(self.path(), &self.text).unwrap();
        key
    }

    fn refusal(text: &str) -> String {
        let file = Self::new();
        std::fs::write(file.path(), text).unwrap();
        ValidKeys::open(&file.path()).unwrap_err().to_string()
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
    let keys = ValidKeys::open(&file.path()).unwrap();
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
        // The content of the file is not a credential.
        &format!("onnward_batch-job_{}", onnward_schemas::sha256_hex(batch.as_bytes())),
        // A key with an unknown name, whatever its digest.
        &format!("onnward_nobody_{}", "0".repeat(64)),
    ] {
        assert_eq!(identify(wrong), Err(Refusal::Unknown), "{wrong}");
    }
}

#[test]
fn a_key_ends_with_its_time() {
    let mut file = KeysFile::new();
    let key = file.add("batch-job", "'predict'", "expires = '2030-01-01T00:00:00Z'");
    let keys = ValidKeys::open(&file.path()).unwrap();
    assert!(keys.identify(&key, at("2029-12-31T23:59:59Z")).is_ok());
    assert_eq!(keys.identify(&key, at("2030-01-01T00:00:00Z")), Err(Refusal::Expired));
}

#[tokio::test(start_paused = true)]
async fn keys_come_and_go_without_a_restart_and_a_broken_file_changes_nothing() {
    let mut file = KeysFile::new();
    let first = file.add("first", "'predict'", "");
    let auth = Arc::new(Authenticator::open(Some(&file.path()), None).unwrap().unwrap());
    let keys = auth.keys.as_ref().unwrap();
    let pause = Duration::from_secs(5);
    let watching = tokio::spawn(Arc::clone(&auth).watch(pause));
    // The poll runs on a separate thread, which the paused clock does not wait for.
    let becomes = async |is_so: &dyn Fn() -> bool| {
        for _ in 0..10_000 {
            if is_so() {
                return true;
            }
            tokio::time::sleep(pause).await;
            tokio::task::spawn_blocking(|| ()).await.unwrap();
        }
        false
    };
    let opens = |key: &str| keys.identify(key, Utc::now()).is_ok();

    let second = file.add("second", "'predict'", "");
    assert!(becomes(&|| opens(&second)).await && opens(&first));

    for unfinished in ["", "[[keys]]\nname = 'half"] {
        std::fs::write(file.path(), unfinished).unwrap();
        auth.reload_if_changed();
        assert!(opens(&second), "{unfinished:?}");
    }

    file.text.clear();
    let third = file.add("third", "'predict'", "");
    assert!(becomes(&|| opens(&third)).await);
    assert_eq!(keys.identify(&first, Utc::now()), Err(Refusal::Unknown));
    watching.abort();
}

#[test]
fn the_log_says_once_what_is_wrong_with_a_file_and_again_when_it_is_changed() {
    let (log, _guard) = captured_log(LogFormat::Json);
    let mut file = KeysFile::new();
    file.add("first", "'predict'", "");
    let keys = ValidKeys::open(&file.path()).unwrap();
    let complaints =
        || log.text().matches("the API keys cannot be reloaded; the previous ones stay valid").count();
    let look_thrice = || (0..3).for_each(|_| keys.reload_if_changed());
    look_thrice();
    assert_eq!(log.text(), "");
    std::fs::write(file.path(), "[[keys]]\nname = 'half").unwrap();
    look_thrice();
    assert_eq!(complaints(), 1, "{}", log.text());
    std::fs::write(file.path(), "[[keys]]\nname = 'other").unwrap();
    look_thrice();
    std::fs::remove_file(file.path()).unwrap();
    look_thrice();
    assert_eq!(complaints(), 3, "{}", log.text());
    file.add("second", "'predict'", "");
    look_thrice();
    assert_eq!(log.text().lines().count(), 4, "{}", log.text());
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
        (entry("twin", &digest, "'read'").repeat(2), "is a duplicate"),
        ("keys = 3".to_owned(), "is invalid"),
    ] {
        let refusal = KeysFile::refusal(&text);
        assert!(refusal.contains(expected) && !refusal.contains(&digest[..62]), "{text}: {refusal}");
    }
    assert!(ValidKeys::open(Path::new("/no/keys.toml")).unwrap_err().to_string().contains("cannot read"));
}
