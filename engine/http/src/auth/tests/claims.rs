use serde_json::{Value, json};

use super::doors::{Doors, changed, without};
use super::*;
use crate::fixtures::issuer::{base64url, claims};

#[tokio::test]
async fn scopes_are_what_the_issuer_calls_them() {
    let scopes_of = async |rules: &dyn Fn(TokenRules) -> TokenRules, claims: Value| {
        let doors = Doors::with(rules);
        let token = doors.key(TokenAlgorithm::EdDsa).token(&claims);
        doors.identify(&token).await.unwrap().scopes.clone()
    };
    let plain = |rules| rules;
    for (scope, expected) in [
        (json!("openid predict read profile"), vec![Scope::Predict, Scope::Read]),
        (json!(["admin", "predict", 7, null, "admin"]), vec![Scope::Predict, Scope::Admin]),
        (json!("Predict ADMIN xpredict predictx onnward:read"), vec![]),
        (json!("predict,read"), vec![]),
        (json!(["predict read"]), vec![]),
        (json!({"admin": true}), vec![]),
        (json!(true), vec![]),
        (json!(null), vec![]),
    ] {
        assert_eq!(scopes_of(&plain, changed("scope", scope.clone())).await, expected, "{scope}");
    }
    assert_eq!(scopes_of(&plain, without("scope")).await, []);
    let prefixed = |rules| TokenRules { scope_prefix: "onnward:".to_owned(), ..rules };
    let both = changed("scope", json!("onnward:predict admin onnward:onnward:read"));
    assert_eq!(scopes_of(&prefixed, both).await, [Scope::Predict]);
    let roles = |rules| TokenRules { scope_claim: "realm_access.roles".to_owned(), ..rules };
    assert_eq!(scopes_of(&roles, changed("realm_access", json!({"roles": ["read"]}))).await, [Scope::Read]);
    assert_eq!(scopes_of(&roles, changed("realm_access", json!(["roles", "read"]))).await, []);
    let address = |rules| TokenRules { scope_claim: "https://churn.example/roles".to_owned(), ..rules };
    assert_eq!(
        scopes_of(&address, changed("https://churn.example/roles", json!(["admin"]))).await,
        [Scope::Admin]
    );
}

#[tokio::test]
async fn a_name_can_forge_no_line_of_the_log() {
    let doors = Doors::new();
    let key = doors.key(TokenAlgorithm::EdDsa);
    for good in
        ["a", "auth0|5f7c8ec7c33c6c004bbafe82", "Zo\u{eb} M\u{fc}ller", "batch@clients", &"x".repeat(128)]
    {
        assert_eq!(doors.identify(&key.token(&changed("sub", json!(good)))).await.unwrap().name, good);
    }
    for bad in [
        json!(""),
        json!("alice\nlevel=ERROR"),
        json!("alice\r"),
        json!("alice\u{0}"),
        json!("alice\u{1b}[2K"),
        json!("alice\u{2028}"),
        json!("\u{202e}ecila"),
        json!("ali\u{200b}ce"),
        json!("x".repeat(129)),
        json!(7),
        json!(null),
    ] {
        let refusal = doors.identify(&key.token(&changed("sub", bad.clone()))).await.unwrap_err();
        assert!(matches!(refusal, TokenRefusal::Claim(_)), "{bad}: {refusal}");
    }
    for nameless in
        [without("sub"), changed("sub", json!(["alice"])), changed("sub", json!({"name": "alice"}))]
    {
        assert!(doors.identify(&key.token(&nameless)).await.is_err(), "{nameless}");
    }
    let by_client = Doors::with(|rules| TokenRules { name_claim: "client_id".to_owned(), ..rules });
    let token = by_client.keys[0].token(&changed("client_id", json!("batch")));
    assert_eq!(by_client.identify(&token).await.unwrap().name, "batch");
}

#[tokio::test]
async fn a_token_has_a_bound() {
    let doors = Doors::new();
    let key = doors.key(TokenAlgorithm::EdDsa);
    assert!(doors.identify(&key.token(&changed("padding", json!("x".repeat(5_000))))).await.is_ok());
    let long = key.token(&changed("padding", json!("x".repeat(8_000))));
    assert_eq!(doors.identify(&long).await, Err(TokenRefusal::TooLong));
    assert!(doors.identify(&key.token(&changed("deep", deep(50)))).await.is_ok());
    let too_deep = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
    let message = claims().to_string().replace("\"alice\"", &too_deep);
    let raw = format!("{}.{}.", base64url(key.header().to_string()), base64url(message));
    assert!(doors.identify(&raw).await.is_err());
}

fn deep(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}
