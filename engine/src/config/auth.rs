//! `[auth]`: who may call the engine.

mod jwt;

use std::net::SocketAddr;
use std::path::PathBuf;

use onnward_http::auth::{Protected, TokenRules};
use serde::Deserialize;

use self::jwt::RawJwt;
use super::error::Invalid;

/// Who may call the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthConfig {
    /// The file of the API keys; without one, and without tokens, everybody who reaches the engine may do everything.
    pub keys_file: Option<PathBuf>,
    /// Which tokens are accepted.
    pub jwt: Option<TokenRules>,
    /// What is for those who may read, beside the models.
    pub protect: Vec<Protected>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawAuth {
    keys_file: Option<PathBuf>,
    jwt: RawJwt,
    protect: Vec<Protected>,
    allow_everybody: bool,
}

impl RawAuth {
    /// What the keys mean for an engine that listens there.
    pub fn check(self, listen: SocketAddr, admin_listen: Option<SocketAddr>) -> Result<AuthConfig, Invalid> {
        let Self { keys_file, jwt, protect, allow_everybody } = self;
        let jwt = jwt.check()?;
        let asks = keys_file.is_some() || jwt.is_some();
        let refuse = |key, problem: String| Err(Invalid { key, problem });
        if keys_file.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            return refuse("auth.keys_file", "is empty; name a file of API keys, or leave it out".to_owned());
        }
        if asks && allow_everybody {
            let problem =
                "is true although auth.keys_file or auth.jwt names who may call: leave one of them out";
            return refuse("auth.allow_everybody", problem.to_owned());
        }
        if !asks && !protect.is_empty() {
            let problem =
                "protects nothing without keys: name a file of them in auth.keys_file, or set auth.jwt";
            return refuse("auth.protect", problem.to_owned());
        }
        for (key, address) in [("listen", Some(listen)), ("admin.listen", admin_listen)] {
            if let Some(address) = address
                && !(asks || allow_everybody || address.ip().is_loopback())
            {
                let problem = format!(
                    "is {address}, where others reach the engine, and nobody is asked for a key: name a file of API keys in \
                     auth.keys_file, set auth.jwt, or set auth.allow_everybody = true \
                     (ONNWARD_AUTH__ALLOW_EVERYBODY=true) where something in front of the engine lets in the right ones"
                );
                return refuse(key, problem);
            }
        }
        Ok(AuthConfig { keys_file, jwt, protect })
    }
}
