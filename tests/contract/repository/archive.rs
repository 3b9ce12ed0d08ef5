//! An archive: files are put into it whole, once.

use bytes::Bytes;
use onnward_repository::{Archive, ArchiveError, RepositoryConfig};
use tempfile::TempDir;

use super::Place;

pub async fn suite(place: &impl Fn(&str) -> Place) {
    a_file_is_put_whole_and_once(place("archive")).await;
}

async fn a_file_is_put_whole_and_once(place: Place) {
    let archive = Archive::from(place.repository.clone());
    let path = "churn/2026-11-22/104501-3f1c-1.jsonl";
    archive.put(path, Bytes::from_static(b"{}\n")).await.unwrap();
    assert_eq!(place.get(path).await, "{}\n");
    // As after an answer that was lost.
    archive.put(path, Bytes::from_static(b"{}\n")).await.unwrap();
    let other = archive.put(path, Bytes::from_static(b"{\"other\":1}\n")).await.unwrap_err();
    assert!(matches!(&other, ArchiveError::Taken { .. }) && other.to_string().contains(path), "{other}");
    assert_eq!(place.get(path).await, "{}\n");
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_said_so_before_anything_is_put() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let location = folder.path().join("file/captures").display().to_string();
    let config = RepositoryConfig { location: location.clone(), ..RepositoryConfig::default() };
    let message = Archive::open(&config).unwrap_err().to_string();
    assert!(message.contains(&location) && message.contains("cannot be written"), "{message}");
}
