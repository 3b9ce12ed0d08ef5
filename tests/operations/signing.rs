//! Signed versions: in the repository, and by the program as a user signs them.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use onnward_exporter::export::export;
use onnward_repository::{
    FetchedModel, Fetcher, KeyId, NewVersion, Repository, RepositoryConfig, RepositoryError, SignatureError,
    Signer, Subject, TrustedKeys, generate_key,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::support::bank;
use crate::support::programs::{fail, succeed, succeed_json};

const EXPORTER: &str = "onnward-exporter";

#[tokio::test(flavor = "multi_thread")]
async fn in_memory_signatures_hold() {
    suite(|_| Repository::from_store(Arc::new(InMemory::new()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_local_disk_signatures_hold() {
    let folder = TempDir::new().unwrap();
    suite(|case| {
        let location = folder.path().join(case).display().to_string();
        Repository::create(&RepositoryConfig { location, ..RepositoryConfig::default() }).unwrap()
    })
    .await;
}

async fn suite(repository: impl Fn(&str) -> Repository) {
    let keys = Keys::new();
    a_signed_version_is_signed_before_it_is_there(&keys, repository("order")).await;
    what_was_signed_is_all_that_passes(&keys, repository("tampered")).await;
    a_signature_is_added_once(&keys, repository("later")).await;
    what_is_not_there_is_not_signed(&keys, repository("missing")).await;
    a_deleted_version_leaves_no_signature(&keys, repository("deleted")).await;
}

async fn a_signed_version_is_signed_before_it_is_there(keys: &Keys, repository: Repository) {
    let published = publish(&repository, "churn", Some(&keys.release)).await;
    assert_eq!(published, 1);
    assert_eq!(&verify(keys, &repository, "churn", 1).await.unwrap(), keys.release.key_id());
    let written =
        async |path: String| repository.store().head(&Path::from(path)).await.unwrap().last_modified;
    let signature = written(format!("churn/1/signatures/{}.json", keys.release.key_id())).await;
    assert!(signature <= written("churn/1/manifest.json".to_owned()).await);

    let (bytes, config) = (b"foreign".to_vec(), Some("[output]".to_owned()));
    let new = NewVersion { bytes, config, signer: Some(&keys.release), ..NewVersion::default() };
    assert_eq!(repository.publish_version("churn", new).await.unwrap().version, 2);
    assert_eq!(fetch(&repository, "churn", 2).await.unwrap().config.as_deref(), Some("[output]"));
    verify(keys, &repository, "churn", 2).await.unwrap();

    assert_eq!(publish(&repository, "churn", None).await, 3);
    let refused = verify(keys, &repository, "churn", 3).await;
    assert!(matches!(refused, Err(SignatureError::Unsigned { version: 3, .. })));
}

async fn what_was_signed_is_all_that_passes(keys: &Keys, repository: Repository) {
    publish(&repository, "churn", Some(&keys.release)).await;
    let [model, manifest] = ["churn/1/model.onnx", "churn/1/manifest.json"].map(Path::from);
    let signature = Path::from(format!("churn/1/signatures/{}.json", keys.release.key_id()));
    let store = repository.store();

    // The whole folder under another number, and under another model's name.
    for (name, version) in [("churn", 2), ("bank", 1)] {
        for file in [&model, &manifest, &signature] {
            let copy = file.as_ref().replace("churn/1/", &format!("{name}/{version}/"));
            store.copy(file, &Path::from(copy)).await.unwrap();
        }
        let refused = verify(keys, &repository, name, version).await;
        assert!(matches!(refused, Err(SignatureError::Wrong { .. })), "{name} {version}");
    }

    // A configuration that was not there.
    let config = Path::from("churn/1/config.toml");
    store.put(&config, "".into()).await.unwrap();
    let refused = verify(keys, &repository, "churn", 1).await;
    assert!(matches!(refused, Err(SignatureError::Wrong { .. })));
    store.delete(&config).await.unwrap();
    verify(keys, &repository, "churn", 1).await.unwrap();

    // Another model differs from the manifest's digest. If the manifest is changed too, the signature is
    // invalid.
    store.put(&model, "the modem".into()).await.unwrap();
    assert!(matches!(fetch(&repository, "churn", 1).await, Err(RepositoryError::Mismatch { .. })));
    publish_bytes(&repository, "other", b"the modem", None).await;
    store.copy(&Path::from("other/1/manifest.json"), &manifest).await.unwrap();
    let refused = verify(keys, &repository, "churn", 1).await;
    assert!(matches!(refused, Err(SignatureError::Wrong { .. })));

    // Somebody else's signature under the trusted key's name.
    repository.sign("other", 1, &keys.stranger).await.unwrap();
    let theirs = format!("other/1/signatures/{}.json", keys.stranger.key_id());
    let ours = format!("other/1/signatures/{}.json", keys.release.key_id());
    store.copy(&Path::from(theirs), &Path::from(ours.as_str())).await.unwrap();
    let refused = verify(keys, &repository, "other", 1).await;
    assert!(matches!(refused, Err(SignatureError::Untrusted { .. })), "{refused:?}");
    let refused = repository.sign("other", 1, &keys.release).await;
    assert!(matches!(refused, Err(RepositoryError::Signature(_))), "what is in the way is not passed over");
    store.put(&Path::from(ours), "{}".into()).await.unwrap();
    let refused = verify(keys, &repository, "other", 1).await;
    assert!(matches!(refused, Err(SignatureError::Malformed { .. })), "{refused:?}");
}

async fn a_signature_is_added_once(keys: &Keys, repository: Repository) {
    publish(&repository, "churn", None).await;
    let before = files(&repository).await;
    assert!(repository.plan_signature("churn", 1, &keys.stranger).await.unwrap().changes);
    assert_eq!(files(&repository).await, before, "a plan changes nothing");
    repository.sign("churn", 1, &keys.stranger).await.unwrap();
    let refused = verify(keys, &repository, "churn", 1).await.unwrap_err();
    assert!(matches!(&refused, SignatureError::Untrusted { signed_by, .. }
        if signed_by == &[keys.stranger.key_id().clone()]));

    let mut people = JoinSet::new();
    for _ in 0..8 {
        let (repository, signer) = (repository.clone(), Arc::clone(&keys.release));
        people.spawn(async move { repository.sign("churn", 1, &signer).await.unwrap() });
    }
    people.join_all().await;
    assert_eq!(&verify(keys, &repository, "churn", 1).await.unwrap(), keys.release.key_id());
    let signed = files(&repository).await;
    assert!(!repository.sign("churn", 1, &keys.release).await.unwrap().changes);
    assert_eq!(files(&repository).await, signed);

    let mut expected = vec![keys.release.key_id().clone(), keys.stranger.key_id().clone()];
    expected.sort();
    let status = repository.status("churn").await.unwrap();
    assert_eq!(status.versions[0].signed_by, expected);
}

async fn what_is_not_there_is_not_signed(keys: &Keys, repository: Repository) {
    for _ in 0..2 {
        publish(&repository, "churn", None).await;
    }
    repository.store().put(&Path::from("churn/3/model.onnx"), "half an upload".into()).await.unwrap();
    repository.store().put(&Path::from("churn/2/deleted.json"), "{}".into()).await.unwrap();
    let before = files(&repository).await;
    for version in [2, 3, 4] {
        let refused = repository.sign("churn", version, &keys.release).await;
        assert!(matches!(refused, Err(RepositoryError::UnknownVersion { .. })), "{version}: {refused:?}");
    }
    let refused = repository.sign("../churn", 1, &keys.release).await;
    assert!(matches!(refused, Err(RepositoryError::Name(_))));
    assert_eq!(files(&repository).await, before);
}

async fn a_deleted_version_leaves_no_signature(keys: &Keys, repository: Repository) {
    for _ in 0..2 {
        publish(&repository, "churn", Some(&keys.release)).await;
    }
    let deletion = repository.plan_deletion("churn", 1).await.unwrap();
    repository.apply_deletion(&deletion).await.unwrap();
    let left = files(&repository).await.into_iter().filter(|file| file.starts_with("churn/1/"));
    assert_eq!(left.collect::<Vec<_>>(), ["churn/1/deleted.json"]);
}

/// Goes from a new key to a version with two signatures.
#[test]
fn a_key_is_made_and_signs_versions() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (repository, model) = (path("repository"), path("model.onnx"));
    std::fs::write(&model, export(&bank().models[0]).unwrap().encode()).unwrap();
    let rest = ["--repository", &repository, "--output", "json"];
    let exporter = |arguments: &[&str]| succeed_json(EXPORTER, &[arguments, &rest[..]].concat());

    let release = succeed_json(EXPORTER, &["keygen", "--out", &path("release"), "--output", "json"]);
    let review = succeed_json(EXPORTER, &["keygen", "--out", &path("review"), "--output", "json"]);
    assert_ne!(release["key_id"], review["key_id"]);
    let mode = std::fs::metadata(path("release.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = std::fs::read(path("release.pem")).unwrap();
    let message = fail(EXPORTER, &["keygen", "--out", &path("release")]);
    assert!(message.contains("release.pem already exists"), "{message}");
    assert_eq!(std::fs::read(path("release.pem")).unwrap(), before);
    std::fs::write(path("other.pub.pem"), "somebody's").unwrap();
    fail(EXPORTER, &["keygen", "--out", &path("other")]);
    assert!(!PathBuf::from(path("other.pem")).exists(), "half a key is not left behind");

    let key = path("release.pem");
    let publish = ["publish", &model, "--model", "bank", "--sign-key", &key];
    assert_eq!(exporter(&[&publish[..], &["--dry-run"]].concat())["signed_by"], release["key_id"]);
    let published = exporter(&publish);
    assert_eq!((&published["version"], &published["signed_by"]), (&json!(1), &release["key_id"]));
    let sign = ["sign", "bank", "1", "--key", &path("review.pem")];
    let planned = exporter(&[&sign[..], &["--dry-run"]].concat());
    assert_eq!((&planned["changes"], &planned["dry_run"]), (&json!(true), &json!(true)));
    assert_eq!(exporter(&["versions", "bank"])["versions"][0]["signed_by"], json!([release["key_id"]]));
    assert_eq!(exporter(&sign)["key_id"], review["key_id"]);
    assert_eq!(exporter(&sign)["changes"], false);
    let signed_by = exporter(&["versions", "bank"])["versions"][0]["signed_by"].clone();
    let has = |key: &Value| signed_by.as_array().unwrap().contains(&key["key_id"]);
    assert!(has(&release) && has(&review), "{signed_by}");
    let shown = succeed(EXPORTER, &["versions", "bank", "--repository", &repository]);
    assert!(shown.contains("signed by") && shown.contains(review["key_id"].as_str().unwrap()), "{shown}");

    let message = fail(
        EXPORTER,
        &["sign", "bank", "1", "--key", &path("release.pub.pem"), "--repository", &repository],
    );
    assert!(message.contains("contains a public key"), "{message}");
}

#[test]
fn a_trained_model_is_signed() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (table, repository) = (path("bank.csv"), path("repository"));
    let schema = ["--schema", "schemas/bank.toml"];
    succeed(EXPORTER, &[&["sample", "--rows", "800", "--out", &table], &schema[..]].concat());
    let key = succeed_json(EXPORTER, &["keygen", "--out", &path("release"), "--output", "json"]);
    let to = ["train", "--data", &table, "--repository", &repository, "--model", "bank"];
    let how = ["--candidates", "logistic", "--folds", "2", "--output", "json", "--sign-key"];
    let train = [&to[..], &schema[..], &how[..]].concat();
    let message = fail(EXPORTER, &[&train[..], &[&path("missing.pem")]].concat());
    assert!(message.contains("cannot read the key"), "{message}");
    assert!(!PathBuf::from(&repository).exists(), "a key that is wrong is refused before the training");
    let trained = succeed_json(EXPORTER, &[&train[..], &[&path("release.pem")]].concat());
    assert_eq!(trained["published"]["signed_by"], key["key_id"]);
}

/// A key that is trusted and one that is not.
struct Keys {
    release: Arc<Signer>,
    stranger: Signer,
    trusted: TrustedKeys,
}

impl Keys {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let make = |name: &str| {
            let key = generate_key().unwrap();
            let [private, public] =
                ["pem", "pub.pem"].map(|ending| folder.path().join(format!("{name}.{ending}")));
            std::fs::write(&private, key.private_pem).unwrap();
            std::fs::write(&public, key.public_pem).unwrap();
            (Signer::read(&private).unwrap(), public)
        };
        let (release, public) = make("release");
        let (stranger, _) = make("stranger");
        Self { release: Arc::new(release), stranger, trusted: TrustedKeys::read(&[public]).unwrap() }
    }
}

async fn publish(repository: &Repository, model: &str, signer: Option<&Signer>) -> u64 {
    publish_bytes(repository, model, b"the model", signer).await
}

async fn publish_bytes(repository: &Repository, model: &str, bytes: &[u8], signer: Option<&Signer>) -> u64 {
    let new = NewVersion { bytes: bytes.to_vec(), signer, ..NewVersion::default() };
    repository.publish_version(model, new).await.unwrap().version
}

async fn fetch(repository: &Repository, model: &str, version: u64) -> Result<FetchedModel, RepositoryError> {
    Fetcher::new(repository.clone(), None, u64::MAX).fetch(model, version).await
}

/// Verifies a version as an engine does before it serves it.
async fn verify(
    keys: &Keys,
    repository: &Repository,
    model: &str,
    version: u64,
) -> Result<KeyId, SignatureError> {
    let FetchedModel { manifest_text, config, signatures, .. } =
        fetch(repository, model, version).await.unwrap();
    let subject = Subject { model, version, manifest_text: &manifest_text, config: config.as_deref() };
    keys.trusted.verify(&subject, &signatures)
}

/// Returns every file, in order.
async fn files(repository: &Repository) -> Vec<String> {
    let files: Vec<_> = repository.store().list(None).try_collect().await.unwrap();
    let mut files: Vec<String> = files.into_iter().map(|file| file.location.to_string()).collect();
    files.sort();
    files
}
