//! `[tls]`: the certificate with which the engine itself speaks TLS.

use std::path::PathBuf;

use serde::Deserialize;

use super::error::Invalid;

/// How the engine speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate and those that vouch for it, in PEM.
    pub certificate_file: PathBuf,
    /// The certificate's private key, in PEM.
    pub private_key_file: PathBuf,
    /// Those whose certificates clients must have, in PEM; without it clients need none.
    pub client_ca_file: Option<PathBuf>,
    /// The oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
}

/// A version of TLS. Older ones are not spoken by anything that this program is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2, without its weak ciphers.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawTls {
    certificate_file: Option<PathBuf>,
    private_key_file: Option<PathBuf>,
    client_ca_file: Option<PathBuf>,
    min_version: TlsVersion,
}

impl RawTls {
    /// What the keys mean; nothing, if neither certificate nor key is named.
    pub fn check(self) -> Result<Option<TlsConfig>, Invalid> {
        let named = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
        let client_ca_file = named(self.client_ca_file);
        let missing = |key, other: &str| {
            let problem = format!("is not set although `{other}` is: name both, or neither");
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
