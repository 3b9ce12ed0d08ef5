use std::path::Path;
use std::process::Command;

use super::*;

const MANIFEST: &str = "{\"sha256\": \"00\"}";

/// A folder of keys that goes with the test.
struct Keys(PathBuf);

impl Keys {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("onnward-keys-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// Makes a key: who signs with it, and the file of its public half.
    fn make(&self, name: &str) -> (Signer, PathBuf) {
        let key = generate_key().unwrap();
        let private = self.write(&format!("{name}.pem"), &key.private_pem);
        (Signer::read(&private).unwrap(), self.write(&format!("{name}.pub.pem"), &key.public_pem))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns a version without a configuration.
fn subject<'a>(model: &'a str, version: u64, manifest_text: &'a str) -> Subject<'a> {
    Subject { model, version, manifest_text, config: None }
}

fn text(signature: &Signature) -> String {
    serde_json::to_string(signature).unwrap()
}

#[test]
fn a_signature_is_good_for_one_manifest_of_one_version_of_one_model() {
    let keys = Keys::new("binding");
    let (signer, public) = keys.make("release");
    let trusted = TrustedKeys::read(&[public]).unwrap();
    let signatures = [text(&signer.sign(&subject("churn", 3, MANIFEST)))];
    assert_eq!(&trusted.verify(&subject("churn", 3, MANIFEST), &signatures).unwrap(), signer.key_id());
    for (model, version, manifest) in [
        ("bank", 3, MANIFEST),
        ("churn", 4, MANIFEST),
        ("churn", 3, "{\"sha256\": \"01\"}"),
        ("churn", 3, "{\"sha256\": \"00\"}\n"),
        ("churn\nversion: 3", 3, MANIFEST),
    ] {
        let refused = trusted.verify(&subject(model, version, manifest), &signatures);
        assert!(matches!(refused, Err(SignatureError::Wrong { .. })), "{model} {version} {manifest}");
    }
    let changed = |config| Subject { config, ..subject("churn", 3, MANIFEST) };
    let refused = trusted.verify(&changed(Some("")), &signatures);
    assert!(matches!(refused, Err(SignatureError::Wrong { .. })), "a config.toml has come");
    let with_config = [text(&signer.sign(&changed(Some("[output]"))))];
    assert!(trusted.verify(&changed(Some("[output]")), &with_config).is_ok());
    for config in [Some("[input]"), Some("none"), None] {
        let refused = trusted.verify(&changed(config), &with_config);
        assert!(matches!(refused, Err(SignatureError::Wrong { .. })), "{config:?}");
    }
}

#[test]
fn every_part_of_a_signature_counts() {
    let keys = Keys::new("parts");
    let (signer, public) = keys.make("release");
    let (other, other_public) = keys.make("other");
    let trusted = TrustedKeys::read(&[public, other_public]).unwrap();
    let right = signer.sign(&subject("churn", 3, MANIFEST));
    let mut bytes = BASE64_STANDARD.decode(&right.signature).unwrap();
    bytes[10] ^= 1;
    let flipped = Signature { signature: BASE64_STANDARD.encode(&bytes), ..right.clone() };
    let short = Signature { signature: BASE64_STANDARD.encode(&bytes[..63]), ..right.clone() };
    let of_other = Signature { key_id: other.key_id().clone(), ..right.clone() };
    let later = Signature { signed: "2999-01-01T00:00:00Z".to_owned(), ..right.clone() };
    for tampered in [flipped, short, of_other, later] {
        let refused = trusted.verify(&subject("churn", 3, MANIFEST), &[text(&tampered)]);
        assert!(matches!(refused, Err(SignatureError::Wrong { .. })), "{tampered:?}");
    }
    let right = text(&right);
    for malformed in [
        "no signature".to_owned(),
        right.replace("ed25519", "none"),
        right.replace(signer.key_id().as_str(), "../../another"),
        right.replace("\"signature\":\"", "\"signature\":\"*"),
    ] {
        let refused = trusted.verify(&subject("churn", 3, MANIFEST), std::slice::from_ref(&malformed));
        assert!(matches!(refused, Err(SignatureError::Malformed { .. })), "{malformed}");
    }
}

#[test]
fn of_several_signatures_one_has_to_be_right() {
    let keys = Keys::new("several");
    let (release, release_public) = keys.make("release");
    let (stranger, _) = keys.make("stranger");
    let (second, second_public) = keys.make("second");
    let right = text(&release.sign(&subject("churn", 3, MANIFEST)));
    let unknown = text(&stranger.sign(&subject("churn", 3, MANIFEST)));
    let wrong = text(&second.sign(&subject("churn", 2, MANIFEST)));
    let trusted = TrustedKeys::read(&[release_public, second_public]).unwrap();
    let verify = |signatures: &[&str]| {
        let signatures: Vec<String> = signatures.iter().map(|text| (*text).to_owned()).collect();
        trusted.verify(&subject("churn", 3, MANIFEST), &signatures)
    };
    assert_eq!(&verify(&["{", &unknown, &wrong, &right]).unwrap(), release.key_id());

    let message = verify(&[]).unwrap_err().to_string();
    assert!(
        message.contains("is not signed") && message.contains("onnward-exporter sign churn 3"),
        "{message}"
    );
    let message = verify(&[&unknown]).unwrap_err().to_string();
    assert!(message.contains(&format!("signed only by key {}", stranger.key_id())), "{message}");
    assert!(message.contains(release.key_id().as_str()), "{message}");
    let message = verify(&[&unknown, "{", &wrong]).unwrap_err().to_string();
    assert!(message.contains(&format!("by key {} is invalid", second.key_id())), "{message}");
    let refused = TrustedKeys::default().verify(&subject("churn", 3, MANIFEST), &[right]);
    assert!(matches!(refused, Err(SignatureError::Untrusted { .. })), "no key is not every key");
}

#[test]
fn a_file_that_is_not_the_right_key_is_named_with_what_to_do() {
    let keys = Keys::new("files");
    keys.make("release");
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let elliptic = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    let damaged = "-----BEGIN PUBLIC KEY-----\nAAAA\n";
    keys.write("locked.pem", locked);
    keys.write("elliptic.pem", elliptic);
    keys.write("elliptic.private.pem", &elliptic.replace("PUBLIC", "PRIVATE"));
    keys.write("damaged.pem", damaged);
    keys.write("damaged.private.pem", &damaged.replace("PUBLIC", "PRIVATE"));
    keys.write("empty.pem", "");
    for (file, expected) in [
        ("release.pub.pem", "contains a public key"),
        ("locked.pem", "password"),
        ("elliptic.private.pem", "not Ed25519"),
        ("damaged.private.pem", "damaged"),
        ("empty.pem", "onnward-exporter keygen"),
        ("missing.pem", "cannot read the key"),
    ] {
        let message = Signer::read(&keys.path(file)).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains(file), "{message}");
    }
    for (file, expected) in [
        ("release.pem", "openssl pkey -in FILE -pubout"),
        ("elliptic.pem", "not Ed25519"),
        ("damaged.pem", "damaged"),
        ("empty.pem", "onnward-exporter keygen"),
        ("missing.pem", "cannot read the key"),
    ] {
        let message = TrustedKeys::read(&[keys.path(file)]).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains(file), "{message}");
    }
}

#[test]
fn a_file_may_hold_several_public_keys() {
    let keys = Keys::new("bundle");
    let (first, second) = (generate_key().unwrap(), generate_key().unwrap());
    let path = keys.write("all.pem", &format!("ours\n{}\n{}", first.public_pem, second.public_pem));
    let trusted = TrustedKeys::read(&[path]).unwrap();
    let mut expected = [first.key_id, second.key_id];
    expected.sort();
    assert!(trusted.key_ids().eq(expected.iter()));
}

#[test]
fn a_private_key_does_not_show() {
    let keys = Keys::new("debug");
    let (signer, _) = keys.make("release");
    assert_eq!(format!("{signer:?}"), format!("Signer({})", signer.key_id()));
}

/// Both ways: OpenSSL's keys sign here, and OpenSSL takes our signature and our keys.
#[test]
fn openssl_understands_us_and_we_it() {
    let keys = Keys::new("openssl");
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: openssl is not installed");
        return;
    }
    openssl(&keys.0, "genpkey -algorithm ed25519 -out theirs.pem");
    openssl(&keys.0, "pkey -in theirs.pem -pubout -out theirs.pub.pem");
    keys.make("ours");
    openssl(&keys.0, "pkey -in ours.pem -pubout -out ours.again.pem");
    let read = |name| std::fs::read_to_string(keys.path(name)).unwrap();
    assert_eq!(read("ours.again.pem"), read("ours.pub.pem"));

    for name in ["ours", "theirs"] {
        let signer = Signer::read(&keys.path(&format!("{name}.pem"))).unwrap();
        let public = format!("{name}.pub.pem");
        let trusted = TrustedKeys::read(&[keys.path(&public)]).unwrap();
        let signature = signer.sign(&subject("churn", 3, MANIFEST));
        assert!(trusted.verify(&subject("churn", 3, MANIFEST), &[text(&signature)]).is_ok());

        openssl(&keys.0, &format!("pkey -pubin -in {public} -outform der -out public.der"));
        let digest = sha256_hex(&std::fs::read(keys.path("public.der")).unwrap());
        assert_eq!(signer.key_id().as_str(), &digest[..16]);
        std::fs::write(keys.path("bytes"), BASE64_STANDARD.decode(&signature.signature).unwrap()).unwrap();
        keys.write("statement", &subject("churn", 3, MANIFEST).statement(&signature.signed));
        let check = format!("pkeyutl -verify -pubin -inkey {public} -rawin -in statement -sigfile bytes");
        assert!(openssl(&keys.0, &check).contains("Verified Successfully"));
    }
}

fn openssl(folder: &Path, arguments: &str) -> String {
    let output =
        Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
