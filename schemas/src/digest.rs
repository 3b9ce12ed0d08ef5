use sha2::{Digest, Sha256};

/// The SHA-256 of `bytes` as 64 lower-case hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first 64 bits of the SHA-256 of `bytes`.
pub fn sha256_prefix(bytes: &[u8]) -> u64 {
    Sha256::digest(bytes).iter().take(8).fold(0, |prefix, byte| prefix << 8 | u64::from(*byte))
}
