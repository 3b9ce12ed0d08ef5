//! The small files of a model repository: manifests, pointers, signatures, marks of deletion, `config.toml`.

use std::sync::{Arc, OnceLock};

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use onnward_onnx::{ExternalConfig, ExternalModel};
use onnward_repository::{FetchedModel, Fetcher, Move, Pointer, Repository, Subject, TrustedKeys, Watch};
use onnward_schemas::{SchemaFile, sha256_hex};
use tokio::runtime::{Builder, Runtime};

use super::sections::sections;

const MODEL: &str = "churn";
const ALIAS: &str = "champion";
/// The content of every `model.onnx` that is not written by a section.
const CONTENT: &[u8] = b"model";

/// Runs the target. Each section `=== PATH` is a file in the folder of one model; that of `schema.toml` holds
/// a schema.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let files: Vec<(&str, &str)> = sections(text).take(32).collect();
    for (name, text) in &files {
        match *name {
            "schema.toml" => drop(SchemaFile::parse(text)),
            name if name.ends_with("config.toml") => config(text),
            _ => {}
        }
    }
    runtime().block_on(look_around(&files));
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_current_thread().build().unwrap())
}

/// Checks a configuration against each external file.
fn config(text: &str) {
    let Ok(read) = ExternalConfig::parse(text) else { return };
    assert_eq!(ExternalConfig::parse(text).unwrap(), read);
    const FILES: [&[u8]; 3] = [
        include_bytes!("../../data/external/torch-logits.onnx"),
        include_bytes!("../../data/external/sklearn-pipeline.onnx"),
        include_bytes!("../../data/external/lightgbm.onnx"),
    ];
    for bytes in FILES {
        if let Ok(model) = ExternalModel::decode(MODEL, bytes, Some(text)) {
            assert!(!model.typical_rows.is_empty());
            let rows = model.schema.encode_rows(&model.typical_rows);
            assert_eq!(rows.values.len(), rows.len * model.schema.features.len());
        }
    }
}

async fn look_around(files: &[(&str, &str)]) {
    let store = Arc::new(InMemory::new());
    for version in 1..=3 {
        let path = Path::from(format!("{MODEL}/{version}/model.onnx"));
        store.put(&path, PutPayload::from_static(CONTENT)).await.unwrap();
    }
    for (name, text) in files {
        let Ok(path) = Path::parse(format!("{MODEL}/{name}")) else { continue };
        let text = text.replace("{sha256}", &sha256_hex(CONTENT));
        let _ = store.put(&path, PutPayload::from(text)).await;
    }
    let repository = Repository::from_store(store as Arc<dyn ObjectStore>);
    let fetcher = Fetcher::new(repository.clone(), None, 1 << 20);
    let mut watch = Watch::new(repository.clone());
    let look = watch.snapshot().await.unwrap();
    let again = watch.snapshot().await.unwrap();
    assert_eq!(format!("{look:?}"), format!("{again:?}"), "nothing has changed");
    for (model, look) in look.models {
        let Ok(look) = look else { continue };
        for version in look.versions.keys() {
            if let Ok(fetched) = fetcher.fetch(&model, *version).await {
                check_fetched(&model, *version, &fetched);
            }
        }
        let target = look.target(ALIAS);
        assert_eq!(
            target.is_none(),
            look.versions.is_empty() && look.pin.is_none() && !look.aliases.contains_key(ALIAS)
        );
        let _ = repository.status(&model).await;
        let _ = repository.plan_gc(&model, 1).await;
        for pointer in [Pointer::Pin, Pointer::Alias(ALIAS.to_owned())] {
            for step in [Move::Back, Move::To(2), Move::Clear] {
                let _ = repository.plan_move(&model, &pointer, step).await;
            }
        }
    }
}

/// Checks that fetched files match their manifest, and that only known signers are trusted.
fn check_fetched(model: &str, version: u64, fetched: &FetchedModel) {
    let FetchedModel { manifest, manifest_text, signatures, config, bytes, .. } = fetched;
    assert_eq!((&sha256_hex(bytes), bytes.len() as u64), (&manifest.sha256, manifest.size_bytes));
    let subject = Subject { model, version, manifest_text, config: config.as_deref() };
    assert!(TrustedKeys::default().verify(&subject, signatures).is_err());
}
