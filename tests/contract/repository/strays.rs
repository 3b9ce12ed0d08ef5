//! Files in a repository that are no model's.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use onnward_repository::{DEFAULT_ALIAS, Move, Repository, RepositoryConfig, Watch};
use tempfile::TempDir;

use super::faults::{ok, serve};
use super::{Place, alias};

/// Puts something into a folder. Returns whether it is reported.
type Stray = (&'static str, fn(&Path) -> bool);

#[cfg(unix)]
const STRAYS: [Stray; 6] = [
    ("a control character", |folder| {
        std::fs::write(folder.join("Icon\r"), "x").unwrap();
        true
    }),
    ("a folder with a control character", |folder| {
        std::fs::create_dir(folder.join("new\nline")).unwrap();
        std::fs::write(folder.join("new\nline/manifest.json"), "x").unwrap();
        true
    }),
    ("no UTF-8", |folder| {
        use std::os::unix::ffi::OsStrExt;
        std::fs::write(folder.join(std::ffi::OsStr::from_bytes(b"\xff.onnx")), "x").unwrap();
        true
    }),
    ("a link to itself", |folder| {
        std::os::unix::fs::symlink(folder.join("self"), folder.join("self")).unwrap();
        true
    }),
    ("a link to its own folder", |folder| {
        std::os::unix::fs::symlink(folder, folder.join("round")).unwrap();
        true
    }),
    ("a link to nothing", |folder| {
        std::os::unix::fs::symlink(folder.join("nothing"), folder.join("dangling")).unwrap();
        false
    }),
];

/// Wherever something lies that is no model's, every model is found, and can be moved, published and deleted.
#[cfg(unix)]
#[tokio::test]
async fn a_stray_file_in_a_local_folder_stops_nothing() {
    for at in ["", "churn", "churn/1", "churn/aliases", "churn/aliases/champion", "_other"] {
        for (what, put) in STRAYS {
            let folder = TempDir::new().unwrap();
            let location = folder.path().display().to_string();
            let config = RepositoryConfig { location, ..RepositoryConfig::default() };
            let place = Place::new(Repository::create(&config).unwrap());
            for _ in 0..2 {
                place.publish("churn").await;
            }
            place.publish("bank").await;
            place.step(&alias(DEFAULT_ALIAS), Move::To(1)).await.unwrap();
            std::fs::create_dir_all(folder.path().join(at)).unwrap();

            let mut watch = Watch::new(place.repository.clone());
            let before = format!("{:?}", watch.snapshot().await.unwrap());
            let is_reported = put(&folder.path().join(at));
            for _ in 0..2 {
                assert_eq!(format!("{:?}", watch.snapshot().await.unwrap()), before, "{what} in {at:?}");
            }
            assert_eq!(place.repository.passed_over().len(), usize::from(is_reported), "{what} in {at:?}");
            place.step(&alias(DEFAULT_ALIAS), Move::To(2)).await.unwrap();
            place.step(&alias(DEFAULT_ALIAS), Move::Back).await.unwrap();
            assert_eq!(place.publish("churn").await, 3, "{what} in {at:?}");
            place.delete("churn", 2).await;
            assert_eq!(place.versions("churn").await, [3, 1], "{what} in {at:?}");
            assert_eq!(place.repository.models().await.unwrap(), ["bank", "churn"], "{what} in {at:?}");
            place.fetch("churn", 1).await.unwrap();
        }
    }
}

/// The audit log grows with every command, and engines look every few seconds.
#[cfg(unix)]
#[tokio::test]
async fn the_audit_log_of_a_local_folder_is_not_searched_for_models() {
    let folder = TempDir::new().unwrap();
    let location = folder.path().display().to_string();
    let config = RepositoryConfig { location, ..RepositoryConfig::default() };
    let place = Place::new(Repository::create(&config).unwrap());
    place.publish("churn").await;
    for name in ["_audit", "_other"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        // What is searched is reported.
        std::fs::write(folder.path().join(name).join("new\nline"), "x").unwrap();
    }
    let snapshot = Watch::new(place.repository.clone()).snapshot().await.unwrap();
    assert_eq!(snapshot.models.len(), 1);
    assert_eq!(place.repository.passed_over(), ["_other/new\nline"]);
}

/// A store lists a thousand files at a time.
#[tokio::test]
async fn a_look_at_an_object_store_costs_two_listings_after_ten_thousand_records_too() {
    let keys: Vec<String> = (0..10_000)
        .map(|number| format!("models/_audit/20260101T{number:06}000Z-0-1-begun.json"))
        .chain(["models/churn/1/manifest.json", "models/churn/1/model.onnx"].map(str::to_owned))
        .collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let repository = serve(move |line| {
        counted.fetch_add(1, Ordering::Relaxed);
        let parameter = |name: &str| {
            let (_, rest) = line.split_once(&format!("{name}="))?;
            Some(rest.split(['&', ' ']).next().unwrap_or_default().replace("%2F", "/"))
        };
        let after = parameter("continuation-token").or_else(|| parameter("start-after")).unwrap_or_default();
        let page: Vec<&String> = keys.iter().filter(|key| **key > after).take(1000).collect();
        let entries = page.iter().map(|key| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00Z</LastModified><ETag>1</ETag>\
                 <Size>1</Size></Contents>"
            )
        });
        let next = match page.last() {
            Some(last) if page.len() == 1000 => {
                format!(
                    "<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>"
                )
            }
            _ => String::new(),
        };
        let entries: String = entries.collect();
        ok(&format!("<ListBucketResult><Name>bucket</Name>{next}{entries}</ListBucketResult>"))
    })
    .await;
    let snapshot = Watch::new(repository).snapshot().await.unwrap();
    let churn = snapshot.models["churn"].as_ref().unwrap();
    assert_eq!(churn.target(DEFAULT_ALIAS).unwrap().version, 1);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

/// A repository's folder is often a link that a deployment points at its next copy.
#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_is_a_link_is_followed_where_it_points_now() {
    let folder = TempDir::new().unwrap();
    let link = folder.path().join("current");
    for (copy, versions) in [("first", 1), ("second", 2)] {
        let location = folder.path().join(copy).display().to_string();
        let place = Place::new(
            Repository::create(&RepositoryConfig { location, ..RepositoryConfig::default() }).unwrap(),
        );
        for _ in 0..versions {
            place.publish("churn").await;
        }
    }
    std::os::unix::fs::symlink("first", &link).unwrap();
    let config = RepositoryConfig { location: link.display().to_string(), ..RepositoryConfig::default() };
    let place = Place::new(Repository::open(&config).unwrap());
    assert_eq!(place.target("churn", DEFAULT_ALIAS).await.unwrap().version, 1);
    std::os::unix::fs::symlink("second", folder.path().join("next")).unwrap();
    std::fs::rename(folder.path().join("next"), &link).unwrap();
    assert_eq!(place.target("churn", DEFAULT_ALIAS).await.unwrap().version, 2);
    place.fetch("churn", 2).await.unwrap();
}

/// The keys `models//x` and `models/./x` are what scripts make of a folder and a name.
#[tokio::test]
async fn a_key_of_an_object_store_that_is_no_path_stops_nothing() {
    let keys = [
        "models//x",
        "models/./x",
        "models/a/../b",
        "models/churn//x",
        "models/churn/1/manifest.json",
        "models/churn/1//manifest.json",
        "models/churn/1/model.onnx",
        "models/other\u{7f}/x",
        "models/readme.txt",
    ];
    let entries = keys.map(|key| {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00Z</LastModified><ETag>1</ETag>\
             <Size>1</Size></Contents>"
        )
    });
    let repository = listing(format!(
        "<?xml version=\"1.0\"?><ListBucketResult><Name>bucket</Name>{}</ListBucketResult>",
        entries.concat()
    ))
    .await;
    let snapshot = Watch::new(repository.clone()).snapshot().await.unwrap();
    let churn = snapshot.models["churn"].as_ref().unwrap();
    assert_eq!((churn.target(DEFAULT_ALIAS).unwrap().version, snapshot.models.len()), (1, 1));
    let passed_over = repository.passed_over();
    assert_eq!(passed_over.len(), 6, "{passed_over:?}");
}

#[tokio::test]
async fn an_answer_that_is_no_listing_is_an_error_and_no_empty_repository() {
    for page in [
        "<html>Sign in</html>",
        "",
        "<ListAllMyBucketsResult></ListAllMyBucketsResult>",
        "<ListBucketResult>",
    ] {
        let repository = listing(page.to_owned()).await;
        let error = Watch::new(repository).snapshot().await.unwrap_err().to_string();
        assert!(error.contains("listing") && !error.contains("ListObjects"), "{page}: {error}");
    }
}

/// Serves a store whose every answer is this listing.
async fn listing(page: String) -> Repository {
    serve(move |_| ok(&page)).await
}
