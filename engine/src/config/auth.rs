//! `[auth]`: who may call the engine.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::error::Invalid;

/// Who may call the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthConfig {
    /// The file of the API keys; without one everybody who reaches the engine may do everything.
    pub keys_file: Option<PathBuf>,
    /// What is for those who may read, beside the models.
    pub protect: Vec<Protected>,
}

/// What is open unless it is protected, although there are keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protected {
    /// `/metrics`.
    Metrics,
    /// `/docs` and `/openapi.json`.
    Docs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawAuth {
    keys_file: Option<PathBuf>,
    protect: Vec<Protected>,
    allow_everybody: bool,
}

impl RawAuth {
    /// What the keys mean for an engine that listens there.
    pub fn check(self, listen: SocketAddr) -> Result<AuthConfig, Invalid> {
        let Self { keys_file, protect, allow_everybody } = self;
        let refuse = |key, problem: String| Err(Invalid { key, problem });
        match &keys_file {
            Some(path) if path.as_os_str().is_empty() => {
                refuse("auth.keys_file", "is empty; name a file of API keys, or leave it out".to_owned())
            }
            Some(_) if allow_everybody => refuse(
                "auth.allow_everybody",
                "is true although auth.keys_file names keys: leave one of them out".to_owned(),
            ),
            None if !protect.is_empty() => refuse(
                "auth.protect",
                "protects nothing without keys: name a file of them in auth.keys_file".to_owned(),
            ),
            None if !listen.ip().is_loopback() && !allow_everybody => refuse(
                "listen",
                format!(
                    "is {listen}, where others reach the engine, and nobody is asked for a key: name a file of API keys in \
                     auth.keys_file, or set auth.allow_everybody = true (ONNWARD_AUTH__ALLOW_EVERYBODY=true) where \
                     something in front of the engine lets in the right ones"
                ),
            ),
            _ => Ok(AuthConfig { keys_file, protect }),
        }
    }
}
