use sha2::{Digest, Sha256};

/// Returns the SHA-256 of `bytes` as 64 lower-case hexadecimal digits.
///
/// ```
/// let digest = onnward_schemas::sha256_hex(b"abc");
/// assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
/// ```
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Returns the first 64 bits of the SHA-256 of `bytes`.
pub fn sha256_prefix(bytes: &[u8]) -> u64 {
    Sha256::digest(bytes).iter().take(8).fold(0, |prefix, byte| prefix << 8 | u64::from(*byte))
}
/// Returns whether a text is a SHA-256 as [`sha256_hex`] writes it.
///
/// ```
/// use onnward_schemas::{is_digest, sha256_hex};
///
/// assert!(is_digest(&sha256_hex(b"customers")));
/// assert!(!is_digest("../customers"));
/// ```
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
