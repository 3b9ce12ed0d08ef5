use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

/// The prefix of every key, by which secret scanners find keys in files.
const PREFIX: &str = "onnward_";
/// The number of random bytes in a key. With so many, a key cannot be guessed from its digest, so a fast hash
/// is as secure as a slow one.
const SECRET_BYTES: usize = 32;

/// An API key as a client sends it: `onnward_<name>_<64 hexadecimal digits>`.
#[derive(Clone, Copy)]
pub struct ApiKey<'a> {
    text: &'a str,
    name: &'a str,
}

impl<'a> ApiKey<'a> {
    /// Parses a key. `None` if the text has another form.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (name, secret) = text.strip_prefix(PREFIX)?.rsplit_once('_')?;
        let is_secret =
            secret.len() == 2 * SECRET_BYTES && secret.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_secret && is_key_name(name)).then_some(Self { text, name })
    }

    /// Returns the name of the key.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Returns the SHA-256 of the whole text. Only this digest is stored.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.text).into()
    }
}

/// Returns whether a text has the prefix of API keys, whether valid or not.
pub fn looks_like_key(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Generates a key with this name. `None` if the system's random number generator fails.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = onnward_http::auth::generate("billing").ok_or("the random number generator failed")?;
/// assert!(key.contains("billing"));
/// # Ok(())
/// # }
/// ```
pub fn generate(name: &str) -> Option<String> {
    let mut secret = [0; SECRET_BYTES];
    SystemRandom::new().fill(&mut secret).ok()?;
    let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{PREFIX}{name}_{digits}"))
}

/// Returns whether a key can have this name: 1 to 64 of `a-z`, `0-9` and `-`.
pub fn is_key_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
