use std::hint::black_box;
use std::time::Instant;

use onnward_telemetry::logging::LogFormat;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::jwks::NoKey;
use super::doors::{Doors, changed, without};
use super::*;
use crate::fixtures::captured_log;
use crate::fixtures::issuer::{IssuerKey, base64url, claims, key_set, token_rules};

#[tokio::test]
async fn tokens_of_every_algorithm_name_their_callers() {
    let doors = Doors::new();
    for caller in doors.all(&claims()).await {
        assert_eq!(*caller.unwrap(), Caller { name: "alice".to_owned(), scopes: vec![Scope::Predict] });
    }
    for audience in [json!("onnward"), json!(["other", "onnward"])] {
        assert!(doors.all(&changed("aud", audience)).await.iter().all(Result::is_ok));
    }
}

#[tokio::test]
async fn tokens_of_another_issuer_or_for_another_service_open_nothing() {
    let doors = Doors::new();
    for bad in [
        without("iss"),
        changed("iss", json!("https://login.example/realms/other")),
        changed("iss", json!("https://login.example/realms/churn/")),
        changed("iss", json!("")),
        changed("iss", json!(null)),
        changed("iss", json!([])),
        changed("iss", json!(7)),
        without("aud"),
        changed("aud", json!("onnward-other")),
        changed("aud", json!("Onnward")),
        changed("aud", json!(["other", "another"])),
        changed("aud", json!([])),
        changed("aud", json!({"onnward": true})),
        changed("aud", json!(null)),
        json!({}),
    ] {
        Doors::refused(doors.all(&bad).await);
    }
}

#[tokio::test]
async fn tokens_count_in_their_time_alone() {
    let doors = Doors::new();
    let now = Utc::now().timestamp();
    // The leeway is 30 seconds.
    for good in [
        changed("exp", json!(now - 20)),
        changed("nbf", json!(now + 20)),
        changed("exp", json!(now as f64 + 9.5)),
    ] {
        assert!(doors.all(&good).await.iter().all(Result::is_ok), "{good}");
    }
    let expired = Doors::refused(doors.all(&changed("exp", json!(now - 40))).await);
    assert!(expired.iter().all(|refusal| *refusal == TokenRefusal::Expired), "{expired:?}");
    for bad in [
        without("exp"),
        changed("exp", json!(null)),
        changed("exp", json!("2999-01-01")),
        changed("exp", json!((now + 300).to_string())),
        changed("exp", json!(-1)),
        changed("exp", json!(0)),
        changed("exp", json!(1e300)),
        changed("nbf", json!(now + 40)),
        changed("nbf", json!("tomorrow")),
        changed("nbf", json!(1e300)),
    ] {
        Doors::refused(doors.all(&bad).await);
    }
}

#[tokio::test]
async fn a_token_without_a_signature_of_the_issuers_opens_nothing() {
    let doors = Doors::new();
    for key in &doors.keys {
        let token = key.token(&claims());
        let [header, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
        let admin = base64url(changed("scope", json!("admin")).to_string());
        let other_bits = |text: &str| {
            let first = if text.starts_with('A') { 'B' } else { 'A' };
            format!("{first}{}", &text[1..])
        };
        for forged in [
            format!("{header}.{admin}.{signature}"),
            format!("{header}.{payload}.{}", other_bits(signature)),
            format!("{header}.{payload}.{}", &signature[..signature.len() - 4]),
            format!("{header}.{payload}.{signature}AAAA"),
            format!("{header}.{payload}.{signature}="),
            format!("{header}.{payload}."),
            format!("{header}.{payload}"),
            format!("{header}..{signature}"),
            format!(".{payload}.{signature}"),
            format!("{token}.{signature}"),
            format!(" {token}"),
            format!("{token}\u{e4}"),
        ] {
            assert!(doors.identify(&forged).await.is_err(), "{forged}");
        }
        for none in ["none", "None", "NONE", "nOnE", ""] {
            for header in [json!({"alg": none}), json!({"alg": none, "kid": key.id}), json!({"kid": key.id})]
            {
                let message = format!("{}.{payload}", base64url(header.to_string()));
                assert!(doors.identify(&format!("{message}.")).await.is_err());
                assert!(doors.identify(&key.sign(&header, &claims())).await.is_err());
            }
        }
        // Another issuer's key with the same id.
        if key.id != "HS256" && key.id != "RS256" {
            let algorithm =
                TokenAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == key.id).unwrap();
            assert!(doors.identify(&IssuerKey::new(algorithm, &key.id).token(&claims())).await.is_err());
        }
    }
    for nonsense in ["", ".", "..", "...", "a.b.c", "\u{fc}.\u{fc}.\u{fc}", "Bearer", "{}"] {
        assert!(doors.identify(nonsense).await.is_err(), "{nonsense}");
    }
}

#[tokio::test]
async fn no_key_serves_another_algorithm_than_its_own() {
    let doors = Doors::new();
    // The public keys, used as an HMAC secret.
    for public in &doors.keys[1..] {
        let jwk = public.jwk();
        let halves = ["n", "x", "y"].map(|name| jwk[name].as_str().unwrap_or_default().to_owned());
        let texts = [jwk.to_string(), halves[0].clone(), halves[1].clone(), halves[1..].concat()];
        for secret in texts.iter().map(|text| text.as_bytes().to_vec()).chain(decoded(&halves)) {
            for id in [Some(&public.id), None] {
                let token = hmac_token(&secret, &json!({"alg": "HS256", "kid": id}));
                assert!(doors.identify(&token).await.is_err(), "{}", public.id);
            }
        }
    }
    for signing in &doors.keys {
        for named in &doors.keys {
            for algorithm in TokenAlgorithm::ALL {
                let header = json!({"alg": algorithm.name(), "kid": named.id});
                let is_right = signing.id == named.id && algorithm.name() == signing.id;
                let token = signing.sign(&header, &claims());
                assert_eq!(doors.identify(&token).await.is_ok(), is_right, "{header} by {}", signing.id);
            }
        }
        for algorithm in ["HS384", "HS512", "RS384", "RS512", "PS256", "ES384", "ES512", "ES256K", "EdDSA2"] {
            let header = json!({"alg": algorithm, "kid": signing.id});
            assert!(doors.identify(&signing.sign(&header, &claims())).await.is_err(), "{header}");
        }
    }
}

fn decoded(halves: &[String]) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    halves.iter().map(|half| base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(half).unwrap()).collect()
}

fn hmac_token(secret: &[u8], header: &Value) -> String {
    use ring::hmac;
    let message = format!("{}.{}", base64url(header.to_string()), base64url(claims().to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", base64url(tag))
}

#[tokio::test]
async fn the_header_names_the_key_and_brings_none() {
    let doors = Doors::new();
    let key = doors.key(TokenAlgorithm::Es256);
    let stranger = IssuerKey::new(TokenAlgorithm::Es256, "ES256");
    let refusal = async |header: Value| doors.identify(&key.sign(&header, &claims())).await.unwrap_err();
    assert_eq!(refusal(json!({"alg": "ES256", "kid": "gone"})).await, TokenRefusal::NoKey(NoKey::UnknownId));
    for kid in [json!(7), json!(["ES256"]), json!({})] {
        assert_eq!(refusal(json!({"alg": "ES256", "kid": kid})).await, TokenRefusal::NoHeader);
    }
    // Each algorithm has one key, so none needs to be named.
    assert!(doors.identify(&key.sign(&json!({"alg": "ES256"}), &claims())).await.is_ok());
    for crit in [json!(["exp"]), json!(["b64"]), json!([])] {
        let header = json!({"alg": "ES256", "kid": "ES256", "crit": crit, "b64": false, "exp": 1});
        assert_eq!(refusal(header).await, TokenRefusal::Critical);
    }
    for (name, value) in [
        ("jwk", stranger.jwk()),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example")),
    ] {
        let mut header = json!({"alg": "ES256", "kid": "ES256"});
        header[name] = value;
        assert!(doors.identify(&stranger.sign(&header, &claims())).await.is_err(), "{name}");
    }
    let twice = format!(
        "{}.{}.",
        base64url(r#"{"alg":"none","alg":"ES256","kid":"ES256"}"#),
        base64url(claims().to_string())
    );
    assert!(doors.identify(&twice).await.is_err());
}

#[tokio::test]
async fn without_a_name_for_it_a_key_must_be_the_only_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("jwks.json");
    let keys = ["a", "b"].map(|id| IssuerKey::new(TokenAlgorithm::EdDsa, id));
    let token = keys[0].sign(&json!({"alg": "EdDSA"}), &claims());
    std::fs::write(&path, key_set(&[&keys[0], &keys[1]])).unwrap();
    let tokens = Tokens::open(token_rules(JwksPlace::File(path.clone()))).unwrap();
    assert_eq!(tokens.identify(&token).await, Err(TokenRefusal::NoKey(NoKey::Ambiguous)));
    std::fs::write(&path, key_set(&[&keys[0]])).unwrap();
    tokens.jwks().reload_if_changed();
    assert!(tokens.identify(&token).await.is_ok());
}

#[tokio::test]
async fn a_file_of_keys_is_read_again_and_a_broken_one_changes_nothing() {
    let (log, _guard) = captured_log(LogFormat::Json);
    let doors = Doors::new();
    let token = doors.key(TokenAlgorithm::Rs256).token(&claims());
    let look_thrice = || (0..3).for_each(|_| doors.tokens.jwks().reload_if_changed());
    std::fs::write(&doors.path, "{\"keys\": [").unwrap();
    look_thrice();
    assert!(doors.identify(&token).await.is_ok());
    assert_eq!(
        log.text().matches("the token keys cannot be reloaded; the previous ones stay valid").count(),
        1,
        "{}",
        log.text()
    );
    // A key that is removed from the set is no longer accepted.
    std::fs::write(&doors.path, key_set(&[&doors.keys[2]])).unwrap();
    look_thrice();
    assert_eq!(doors.identify(&token).await, Err(TokenRefusal::NoKey(NoKey::UnknownId)));
    assert!(doors.identify(&doors.keys[2].token(&claims())).await.is_ok());
    std::fs::write(&doors.path, "{\"keys\": []}").unwrap();
    look_thrice();
    Doors::refused(doors.all(&claims()).await);
    assert!(log.text().contains("all tokens are rejected"), "{}", log.text());
}

#[test]
fn an_engine_does_not_start_with_a_file_that_lets_in_nobody() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("jwks.json");
    let open = || Tokens::open(token_rules(JwksPlace::File(path.clone()))).unwrap_err().to_string();
    assert!(open().contains("cannot read the token keys in"));
    for (text, part) in [
        ("{\"keys\": []}".to_owned(), "the set is empty"),
        (
            json!({"keys": [{"kty": "oct", "kid": "weak", "k": "aGlkZGVu"}]}).to_string(),
            "the key \"weak\" has 6 bytes",
        ),
        ("keys".to_owned(), "line 1, column 1"),
        ("x".repeat((1 << 20) + 1), "more than 1048576 bytes"),
    ] {
        std::fs::write(&path, text).unwrap();
        let message = open();
        assert!(
            message.contains(part) && !message.contains("aGlk") && !message.contains("hidden"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn no_refusal_repeats_the_token() {
    let doors = Doors::new();
    let key = doors.key(TokenAlgorithm::EdDsa);
    let token = key.token(&changed("aud", json!("hidden-service")));
    for bad in [
        token.clone(),
        token[1..].to_owned(),
        token.replace('.', "!"),
        key.sign(&json!({"alg": "hidden"}), &claims()),
    ] {
        let refusal = doors.identify(&bad).await.unwrap_err();
        let said = format!("{refusal} {refusal:?}");
        assert!(!said.contains("hidden") && !said.contains(&token[10..30]), "{said}");
    }
}

/// Measures the cost of a verification: `cargo test --release -p onnward-http cost_of_a_token -- --nocapture
/// --ignored`.
#[tokio::test]
#[ignore = "a measurement"]
async fn cost_of_a_token() {
    const ROUNDS: u32 = 5_000;
    let doors = Doors::new();
    for key in &doors.keys {
        let token = key.token(&claims());
        let begin = Instant::now();
        for _ in 0..ROUNDS {
            black_box(doors.identify(black_box(&token)).await).unwrap();
        }
        println!("{}: {:.1} µs", key.id, begin.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
    }
}
