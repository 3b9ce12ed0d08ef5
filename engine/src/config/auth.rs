//! `[auth]`: authentication and authorization.

mod jwt;

use std::net::SocketAddr;
use std::path::PathBuf;

use onnward_http::auth::{Protected, TokenRules};
use serde::Deserialize;

use self::jwt::RawJwt;
use super::error::Invalid;

/// Authentication and authorization.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthConfig {
    /// The file of the API keys. Without keys and tokens, every client has every scope.
    pub keys_file: Option<PathBuf>,
    /// The rules for tokens; `None` disables them.
    pub jwt: Option<TokenRules>,
    /// The routes that need scope `read`, beside those of the models.
    pub protect: Vec<Protected>,
}

impl AuthConfig {
    /// Returns whether clients need a key or a token.
    pub fn authenticates(&self) -> bool {
        self.keys_file.is_some() || self.jwt.is_some()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAuth {
    keys_file: Option<PathBuf>,
    jwt: RawJwt,
    protect: Vec<Protected>,
    allow_everybody: bool,
}

impl RawAuth {
    /// Validates the keys for an engine on these addresses.
    pub fn validate(
        self,
        listen: SocketAddr,
        admin_listen: Option<SocketAddr>,
    ) -> Result<AuthConfig, Invalid> {
        let Self { keys_file, jwt, protect, allow_everybody } = self;
        let jwt = jwt.validate()?;
        let authenticates = keys_file.is_some() || jwt.is_some();
        let invalid = |key, problem: String| Err(Invalid { key, problem });
        if keys_file.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            return invalid(
                "auth.keys_file",
                "is empty; set it to a file of API keys, or leave it out".to_owned(),
            );
        }
        if authenticates && allow_everybody {
            let problem = "is true, but auth.keys_file or auth.jwt is set: leave one of them out";
            return invalid("auth.allow_everybody", problem.to_owned());
        }
        if !authenticates && !protect.is_empty() {
            let problem = "protects nothing without keys: set auth.keys_file or auth.jwt";
            return invalid("auth.protect", problem.to_owned());
        }
        for (key, address) in [("listen", Some(listen)), ("admin.listen", admin_listen)] {
            if let Some(address) = address
                && !(authenticates || allow_everybody || address.ip().is_loopback())
            {
                let problem = format!(
                    "is {address}, which other hosts can reach, without authentication: set auth.keys_file (a file of API \
                     keys) or auth.jwt, or set auth.allow_everybody = true (ONNWARD_AUTH__ALLOW_EVERYBODY=true) if a \
                     proxy authenticates clients"
                );
                return invalid(key, problem);
            }
        }
        Ok(AuthConfig { keys_file, jwt, protect })
    }
}
