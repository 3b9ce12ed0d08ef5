//! Who had the engine do what: a line of the log for each, whatever its level, and one of a file where one is configured.
//!
//! What is done to the model repository is on record there; see `onnward-exporter audit`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{SecondsFormat, Utc};
use serde::Serialize;
use thiserror::Error;
use tokio::task::spawn_blocking;

/// The target of the lines of the audit log, by which they are told from all others.
pub const AUDIT: &str = "onnward::audit";

/// The audit log's file cannot be had.
#[derive(Debug, Error)]
#[error("cannot write the audit log {}: {source}", path.display())]
pub struct AuditError {
    path: PathBuf,
    source: io::Error,
}

/// What somebody had the engine do, or tried to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AdminAction {
    /// When, in RFC 3339 and UTC.
    pub time: String,
    /// The caller's name; absent where nobody is asked for one, or it is not known.
    pub who: Option<String>,
    /// The address that the request came from.
    pub from: Option<IpAddr>,
    /// The method and the path.
    pub action: String,
    /// The status of the answer.
    pub status: u16,
    /// `success` or `failure`.
    pub outcome: &'static str,
    /// The request's id.
    pub request_id: String,
}

impl AdminAction {
    /// Returns an action that has just been answered.
    pub fn now(
        who: Option<String>,
        from: Option<IpAddr>,
        action: String,
        status: u16,
        request_id: String,
    ) -> Self {
        let outcome = if status < 400 { "success" } else { "failure" };
        let time = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        Self { time, who, from, action, status, outcome, request_id }
    }
}

/// Where actions are put on record.
#[derive(Debug, Default)]
pub struct Audit {
    file: Option<Arc<Mutex<File>>>,
}

impl Audit {
    /// Opens the file, where there is to be one; it is written at its end, and only its owner reads it.
    ///
    /// # Errors
    /// [`AuditError`].
    pub fn open(path: Option<&Path>) -> Result<Self, AuditError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let file = file.map_err(|source| AuditError { path: path.to_owned(), source })?;
        Ok(Self { file: Some(Arc::new(Mutex::new(file))) })
    }

    /// Puts an action on record, on the disk where there is a file.
    pub async fn record(&self, action: AdminAction) {
        let AdminAction { who, from, action: what, status, outcome, request_id, .. } = &action;
        tracing::info!(
            target: AUDIT,
            caller = who.as_deref(), client = from.map(display), action = what, outcome, status, request_id,
            "an administrator's request"
        );
        let Some(file) = self.file.clone() else { return };
        let written = spawn_blocking(move || append(&file, &action)).await;
        if let Err(error) = written.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
            tracing::error!(%error, "the audit log's file cannot be written");
        }
    }
}

fn append(file: &Mutex<File>, action: &AdminAction) -> io::Result<()> {
    let mut line = serde_json::to_vec(action)?;
    line.push(b'\n');
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.write_all(&line)?;
    file.sync_data()
}
