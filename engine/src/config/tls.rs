//! `[tls]`: the engine's certificate and TLS settings.

use std::path::PathBuf;

use onnward_http::tls::{TlsConfig, TlsVersion};
use serde::Deserialize;

use super::error::Invalid;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTls {
    certificate_file: Option<PathBuf>,
    private_key_file: Option<PathBuf>,
    client_ca_file: Option<PathBuf>,
    min_version: TlsVersion,
}

impl RawTls {
    /// Validates the keys. `None` if neither certificate nor key is set.
    pub fn validate(self) -> Result<Option<TlsConfig>, Invalid> {
        let named = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
        let client_ca_file = named(self.client_ca_file);
        let missing = |key, other: &str| {
            let problem = format!("is not set, but `{other}` is: name both, or neither");
            Err(Invalid { key, problem })
        };
        match (named(self.certificate_file), named(self.private_key_file)) {
            (Some(certificate_file), Some(private_key_file)) => Ok(Some(TlsConfig {
                certificate_file,
                private_key_file,
                client_ca_file,
                min_version: self.min_version,
            })),
            (Some(_), None) => missing("tls.private_key_file", "tls.certificate_file"),
            (None, Some(_)) => missing("tls.certificate_file", "tls.private_key_file"),
            (None, None) if client_ca_file.is_some() => missing("tls.certificate_file", "tls.client_ca_file"),
            (None, None) => Ok(None),
        }
    }
}
