//! Verifies the signatures of tokens with ring. Signing is not supported.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm,
};

/// The provider that lets `jsonwebtoken` verify signatures with ring.
static RING: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Installs ring as the verifier of all tokens in this process.
pub fn install() {
    // It fails only if a provider is installed already.
    let _ = RING.install_default();
}

/// A key in ring's form, with its only algorithm.
struct RingVerifier {
    algorithm: Algorithm,
    key: RingKey,
}

enum RingKey {
    Secret(hmac::Key),
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    Curve(UnparsedPublicKey<Vec<u8>>),
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    // Otherwise a public key could be used as an HMAC secret.
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let curve = |rules: &'static dyn VerificationAlgorithm| {
        Ok::<_, jsonwebtoken::errors::Error>(RingKey::Curve(UnparsedPublicKey::new(
            rules,
            key.try_get_as_bytes()?.to_vec(),
        )))
    };
    let ready = match (algorithm, key.kind()) {
        (Algorithm::HS256, DecodingKeyKind::SecretOrDer(secret)) => {
            RingKey::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret))
        }
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            RingKey::Rsa(RsaPublicKeyComponents { n: n.clone(), e: e.clone() })
        }
        (Algorithm::ES256, _) => curve(&ECDSA_P256_SHA256_FIXED)?,
        (Algorithm::EdDSA, _) => curve(&ED25519)?,
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    };
    Ok(Box::new(RingVerifier { algorithm: *algorithm, key: ready }))
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], tag: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        let verified = match &self.key {
            RingKey::Secret(key) => hmac::verify(key, message, tag),
            RingKey::Rsa(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, tag),
            RingKey::Curve(key) => key.verify(message, tag),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
