use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The location of a model repository and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryConfig {
    /// A folder, `file:///folder` or `s3://bucket/prefix`; `gs://` and `az://` where the features are
    /// compiled in.
    pub location: String,
    /// Settings of an S3 store beside its location.
    pub s3: S3Config,
    /// The longest time for a connection to an object store, and the longest silence while something is read.
    pub timeout: Duration,
}

impl Default for RepositoryConfig {
    fn default() -> Self {
        Self { location: String::new(), s3: S3Config::default(), timeout: DEFAULT_TIMEOUT }
    }
}

/// The settings of an S3 store. A setting that is absent is read from AWS's usual environment: `AWS_REGION`,
/// `AWS_ACCESS_KEY_ID` or the file named by `AWS_ACCESS_KEY_ID_FILE`, `AWS_ENDPOINT_URL`, web identities,
/// container and instance roles, and so on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Config {
    /// The store's URL, unless it is AWS itself.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The access key's id.
    pub access_key_id: Option<Secret>,
    /// The secret access key.
    pub secret_access_key: Option<Secret>,
    /// The session token of a temporary key.
    pub session_token: Option<Secret>,
    /// Whether the bucket is in a URL's path (the default) or in its host name.
    pub path_style: Option<bool>,
    /// Whether plain HTTP is allowed.
    pub allow_http: Option<bool>,
    /// A file of certificates in PEM that are trusted beside those of the system. `AWS_CA_BUNDLE` names one too.
    pub ca_file: Option<PathBuf>,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Returns the text, for the request that needs it.
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
