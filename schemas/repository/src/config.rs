use std::fmt;
use std::time::Duration;

use serde::Deserialize;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a model repository is and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryConfig {
    /// A folder, `file:///folder` or `s3://bucket/prefix`; `gs://` and `az://` where the features are compiled in.
    pub location: String,
    /// What an S3 store needs beside its location.
    pub s3: S3Config,
    /// How long an object store may take for a connection, and how long it may be silent while something is read.
    pub timeout: Duration,
}

impl Default for RepositoryConfig {
    fn default() -> Self {
        Self { location: String::new(), s3: S3Config::default(), timeout: DEFAULT_TIMEOUT }
    }
}

/// How to reach an S3 store. Whatever is not set comes from the usual environment of AWS (`AWS_REGION`,
/// `AWS_ACCESS_KEY_ID` or the file that `AWS_ACCESS_KEY_ID_FILE` names, `AWS_ENDPOINT_URL`, web identities, container and
/// instance roles, …).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Config {
    /// The store's URL, for one that is not AWS's own.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The identity of the key.
    pub access_key_id: Option<Secret>,
    /// The key.
    pub secret_access_key: Option<Secret>,
    /// The token that comes with a temporary key.
    pub session_token: Option<Secret>,
    /// Whether the bucket is in the path of a URL (the default) and not in its host name.
    pub path_style: Option<bool>,
    /// Whether the store may be spoken to without TLS.
    pub allow_http: Option<bool>,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for whoever has to send it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        let s3 = S3Config { secret_access_key: Some("hidden".into()), ..S3Config::default() };
        assert!(!format!("{s3:?}").contains("hidden"));
    }
}
