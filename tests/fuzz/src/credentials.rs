//! A client's credentials, the file of the API keys, and the key set of tokens.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use onnward_http::auth::{
    Authenticator, Caller, Credential, JwksPlace, Keys, Refusal, TokenAlgorithm, TokenRules,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// The names of the keys that are known. Nobody has their texts: their digests are of nothing.
const KNOWN: &str = r#"
[[keys]]
name = "web"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
scopes = ["predict"]
[[keys]]
name = "former"
sha256 = "0000000000000000000000000000000000000000000000000000000000000001"
scopes = ["read", "admin"]
expires = "2020-01-01T00:00:00Z"
"#;

/// Keys of tokens. A fuzzer that makes a token of one of them has broken it.
const KEY_SET: &str = r#"{"keys": [
    {"kty": "oct", "kid": "a", "alg": "HS256", "k": "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg"},
    {"kty": "OKP", "kid": "b", "crv": "Ed25519", "alg": "EdDSA", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
]}"#;

/// Runs the target. The first line is a caller's credential, the rest a file of API keys or token keys.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (presented, file) = text.split_once('\n').unwrap_or((text, ""));
    let place = place();
    for shown in [Credential::Key(presented), Credential::Bearer(presented)] {
        let identified = place.identify(&place.known, shown);
        assert!(identified.is_err(), "{presented:?} is taken for the key of {identified:?}");
    }

    std::fs::write(&place.file, file).unwrap();
    match (Keys::read(&place.file), Keys::read(&place.file)) {
        (Ok(keys), Ok(again)) => {
            assert_eq!(keys, again);
            let known = Authenticator::open(Some(&place.file), None).unwrap().unwrap();
            let identified = place.identify(&known, Credential::Key(presented));
            assert!(identified.is_err() || !keys.is_empty(), "{presented:?} of no keys");
        }
        (Err(error), Err(again)) => assert_eq!(error.to_string(), again.to_string()),
        _ => panic!("the same file is read differently"),
    }
    if let Ok(Some(known)) = Authenticator::open(None, Some(rules(place.file.clone()))) {
        // Whoever it lets in has a signature by a key of the set.
        let _ = place.identify(&known, Credential::Bearer(presented));
    }
}

fn rules(key_set: PathBuf) -> TokenRules {
    TokenRules {
        jwks: JwksPlace::File(key_set),
        issuer: "https://issuer.example".to_owned(),
        audience: "onnward".to_owned(),
        scope_claim: "scope".to_owned(),
        scope_prefix: String::new(),
        name_claim: "sub".to_owned(),
        algorithms: TokenAlgorithm::ALL.to_vec(),
        leeway: Duration::from_secs(30),
    }
}

struct Place {
    known: Authenticator,
    /// A file that is written again and again.
    file: PathBuf,
    runtime: Runtime,
    _folder: TempDir,
}

impl Place {
    fn identify(&self, known: &Authenticator, shown: Credential<'_>) -> Result<Arc<Caller>, Refusal> {
        let now: DateTime<Utc> = DateTime::UNIX_EPOCH;
        self.runtime.block_on(known.identify(shown, now))
    }
}

fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let known = folder.path().join("known.toml");
        std::fs::write(&known, KNOWN).unwrap();
        let key_set = folder.path().join("known.json");
        std::fs::write(&key_set, KEY_SET).unwrap();
        let known = Authenticator::open(Some(&known), Some(rules(key_set))).unwrap().unwrap();
        let runtime = Builder::new_current_thread().build().unwrap();
        Place { known, file: folder.path().join("keys.toml"), runtime, _folder: folder }
    })
}
