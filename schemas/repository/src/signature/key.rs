//! Ed25519 keys in PEM, as RFC 8410 lays them out and `openssl genpkey -algorithm ed25519` writes them.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

use super::{KeyId, SignatureError};

const KEY_BYTES: usize = 32;
/// The bytes before the 32 bytes of a public key in its SubjectPublicKeyInfo. DER has one way to write them.
const PUBLIC_KEY_PREFIX: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
/// The same for a private key in PKCS#8, version 1.
const PRIVATE_KEY_PREFIX: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// A private key that signs versions.
pub struct Signer {
    key_id: KeyId,
    pair: Ed25519KeyPair,
}

/// A new key, as the two files that hold it.
pub struct NewKey {
    /// The key's id.
    pub key_id: KeyId,
    /// The private key: PKCS#8 in PEM, without a password.
    pub private_pem: String,
    /// The public key: SubjectPublicKeyInfo in PEM.
    pub public_pem: String,
}

/// An Ed25519 public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicKey([u8; KEY_BYTES]);

impl Signer {
    /// Reads a private key: PKCS#8 in PEM (`BEGIN PRIVATE KEY`), without a password.
    ///
    /// # Errors
    /// [`SignatureError::ReadKey`]; [`SignatureError::Key`] for a file that holds no Ed25519 private key.
    pub fn read(path: &Path) -> Result<Self, SignatureError> {
        let wrong = |problem| SignatureError::Key { path: path.to_owned(), purpose: "sign", problem };
        let text = read(path)?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|error| match error {
            pem::Error::NoItemsFound if has(&text, "ENCRYPTED PRIVATE KEY") => wrong(
                "it is protected by a password; write it without one with `openssl pkey -in FILE -out NEW`",
            ),
            pem::Error::NoItemsFound if has(&text, "PUBLIC KEY") => {
                wrong("it contains a public key; name the file of the private one")
            }
            pem::Error::NoItemsFound => {
                wrong("it contains no private key in PEM; make one with `onnward-exporter keygen`")
            }
            _ => wrong("its PEM is damaged"),
        })?;
        // OpenSSL leaves the public half out, so it cannot be held against the private one.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
        let pair = pair.map_err(|_| {
            wrong("its private key is not Ed25519, or damaged; make one with `onnward-exporter keygen`")
        })?;
        Ok(Self { key_id: PublicKey::of(&pair).id(), pair })
    }

    /// Returns the key's id.
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    pub(super) fn public_key(&self) -> PublicKey {
        PublicKey::of(&self.pair)
    }

    /// Returns the 64 bytes of a signature.
    pub(super) fn sign_bytes(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// Shows the id alone.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.key_id)
    }
}

/// Generates a key from the system's random numbers.
///
/// # Errors
/// [`SignatureError::NoRandomNumbers`].
pub fn generate_key() -> Result<NewKey, SignatureError> {
    let mut seed = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut seed).map_err(|_| SignatureError::NoRandomNumbers)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| SignatureError::NoRandomNumbers)?;
    let public = PublicKey::of(&pair);
    Ok(NewKey {
        key_id: public.id(),
        private_pem: pem("PRIVATE KEY", &[&PRIVATE_KEY_PREFIX[..], &seed].concat()),
        public_pem: pem("PUBLIC KEY", &public.der()),
    })
}

/// Reads the public keys in a PEM file; at least one.
pub(super) fn read_public_keys(path: &Path) -> Result<Vec<PublicKey>, SignatureError> {
    let purpose = "check signatures";
    let wrong = |problem| SignatureError::Key { path: path.to_owned(), purpose, problem };
    let text = read(path)?;
    if has(&text, "PRIVATE KEY") {
        return Err(wrong(
            "it holds a private key, which only signing needs; name the file of the public one, which \
             `openssl pkey -in FILE -pubout` writes",
        ));
    }
    let mut keys = Vec::new();
    for der in SubjectPublicKeyInfoDer::pem_slice_iter(&text) {
        let der = der.map_err(|_| wrong("its PEM is damaged"))?;
        keys.push(PublicKey::from_der(&der).ok_or_else(|| wrong("its public key is not Ed25519"))?);
    }
    if keys.is_empty() {
        return Err(wrong("it contains no public key in PEM; `onnward-exporter keygen` writes one"));
    }
    Ok(keys)
}

impl PublicKey {
    fn of(pair: &Ed25519KeyPair) -> Self {
        let mut key = [0; KEY_BYTES];
        key.copy_from_slice(pair.public_key().as_ref());
        Self(key)
    }

    fn from_der(der: &[u8]) -> Option<Self> {
        der.strip_prefix(&PUBLIC_KEY_PREFIX)?.try_into().ok().map(Self)
    }

    fn der(&self) -> Vec<u8> {
        [&PUBLIC_KEY_PREFIX[..], &self.0].concat()
    }

    pub(super) fn id(&self) -> KeyId {
        KeyId::of_public_key(&self.der())
    }

    pub(super) fn has_signed(&self, message: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message.as_bytes(), signature).is_ok()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SignatureError> {
    std::fs::read(path).map_err(|source| SignatureError::ReadKey { path: path.to_owned(), source })
}

/// Returns whether a PEM file has a section of this kind.
fn has(text: &[u8], kind: &str) -> bool {
    String::from_utf8_lossy(text).lines().any(|line| line.starts_with("-----BEGIN") && line.contains(kind))
}

/// Encodes a section of a PEM file. The content fits on one line of 64 digits.
fn pem(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", BASE64_STANDARD.encode(der))
}
