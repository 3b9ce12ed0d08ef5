use serde_json::{Value, json};

use super::super::jwks::KeySet;
use super::*;
use crate::fixtures::issuer::{IssuerKey, base64url, token_rules};

fn from_file() -> TokenRules {
    token_rules(JwksPlace::File("jwks.json".into()))
}

fn from_url() -> TokenRules {
    let url = "https://login.example/jwks".parse().unwrap();
    token_rules(JwksPlace::Url { url, refresh: Duration::from_secs(300) })
}

fn set_of(jwk: &Value, rules: &TokenRules) -> KeySet {
    KeySet::parse(json!({"keys": [jwk]}).to_string().as_bytes(), rules).unwrap()
}

/// Returns the reason why the only key of a set is skipped.
#[track_caller]
fn why(jwk: &Value, rules: &TokenRules) -> String {
    let set = set_of(jwk, rules);
    assert!(set.is_empty(), "{jwk} is taken");
    set.skipped()[0].to_string()
}

fn with(mut jwk: Value, name: &str, value: Value) -> Value {
    jwk[name] = value;
    jwk
}

#[test]
fn keys_that_would_not_protect_are_refused() {
    let secret = |bytes| json!({"kty": "oct", "kid": "s", "k": base64url(vec![7; bytes])});
    let rsa =
        |bytes: usize| json!({"kty": "RSA", "kid": "r", "n": base64url(vec![0xff; bytes]), "e": "AQAB"});
    assert!(why(&secret(31), &from_file()).contains("31 bytes"));
    assert_eq!(set_of(&secret(32), &from_file()).len(), 1);
    assert!(why(&secret(32), &from_url()).contains("published at a URL"));
    assert!(why(&rsa(128), &from_url()).contains("has 1024 bits"));
    assert!(why(&rsa(255), &from_file()).contains("has 2040 bits"));
    assert!(why(&rsa(2048), &from_file()).contains("has 16384 bits"));
    assert!(why(&json!({"kty": "RSA", "n": "", "e": ""}), &from_file()).contains("has 0 bits"));
    assert_eq!(set_of(&rsa(256), &from_file()).len(), 1);
    // Leading zeros do not count.
    let padded = json!({"kty": "RSA", "n": base64url([[0; 128], [0xff; 128]].concat()), "e": "AQAB"});
    assert!(why(&padded, &from_file()).contains("has 1024 bits"));
    let point = json!({"kty": "EC", "crv": "P-256", "x": base64url([1; 32]), "y": base64url([1; 31])});
    assert!(why(&point, &from_file()).contains("not a point on P-256"));
    let short = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url([1; 31])});
    assert!(why(&short, &from_file()).contains("not an Ed25519 key"));
}

#[test]
fn a_key_is_for_one_use_and_one_algorithm() {
    let jwk = IssuerKey::new(TokenAlgorithm::Rs256, "r").jwk();
    let rules = from_url();
    for (name, value) in [
        ("use", json!("enc")),
        ("use", json!("other")),
        ("key_ops", json!(["encrypt", "wrapKey"])),
        ("key_ops", json!([])),
        ("alg", json!("RSA-OAEP")),
        ("alg", json!("PS256")),
        ("alg", json!("RS512")),
        ("alg", json!("HS256")),
        ("alg", json!("none")),
        ("kty", json!("AKP")),
        ("n", json!("not base64url!")),
        ("n", json!(7)),
    ] {
        why(&with(jwk.clone(), name, value), &rules);
    }
    for (name, value) in [("use", json!("sig")), ("key_ops", json!(["verify"])), ("alg", json!("RS256"))] {
        assert_eq!(set_of(&with(jwk.clone(), name, value), &rules).len(), 1, "{name}");
    }
    let curve = json!({"kty": "EC", "crv": "P-384", "x": base64url([1; 48]), "y": base64url([1; 48])});
    assert!(why(&curve, &rules).contains("unsupported"));
    let only_curves = TokenRules { algorithms: vec![TokenAlgorithm::Es256], ..rules };
    assert!(why(&jwk, &only_curves).contains("not in auth.jwt.algorithms"));
}

#[test]
fn the_others_of_a_set_count_and_of_twins_the_first() {
    let (rsa, curve) =
        (IssuerKey::new(TokenAlgorithm::Rs256, "a"), IssuerKey::new(TokenAlgorithm::Es256, "a"));
    let encrypting = with(rsa.jwk(), "use", json!("enc"));
    let set = json!({"keys": [encrypting, 7, {}, rsa.jwk(), curve.jwk(), rsa.jwk()]});
    let set = KeySet::parse(set.to_string().as_bytes(), &from_url()).unwrap();
    assert_eq!((set.len(), set.skipped().len()), (2, 4));
}

#[test]
fn what_is_no_set_is_refused_without_repeating_what_it_holds() {
    let secret = "hidden-hidden-hidden-hidden-hidden";
    for text in [
        "".to_owned(),
        "<html>".to_owned(),
        "{}".to_owned(),
        format!("{{\"keys\": \"{secret}\"}}"),
        format!("{{\"keys\": [{{\"kty\": \"oct\", \"k\": \"{secret}\"]}}"),
        "[".repeat(100_000),
    ] {
        let error = KeySet::parse(text.as_bytes(), &from_file()).unwrap_err().to_string();
        assert!(error.contains("must be a JSON Web Key Set") && !error.contains("hidden"), "{error}");
    }
    let bad =
        json!({"keys": [{"kty": "oct", "kid": "s", "k": [secret]}, {"kty": "oct", "k": secret, "use": 3}]});
    let set = KeySet::parse(bad.to_string().as_bytes(), &from_file()).unwrap();
    assert!(set.is_empty() && !format!("{set:?}").contains("hidden"), "{set:?}");
    let good = json!({"kty": "oct", "kid": "s", "k": base64url([65; 33])});
    let presented = format!("{:?}", set_of(&good, &from_file()));
    assert!(!presented.contains(&base64url([65; 33])) && !presented.contains("65, 65"), "{presented}");
}
