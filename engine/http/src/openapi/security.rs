//! The security schemes of the OpenAPI document, and the operations that require them.

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, Paths};

use super::shapes::problem_response;
use crate::auth::{Authenticator, Protected, Scope};
use crate::authorization::API_KEY;
use crate::problem::{self, ApiError};
use crate::state::AccessControl;

/// The names of the security schemes.
const BEARER: &str = "key";
const HEADER: &str = "header";
const TOKEN: &str = "token";

/// Adds the security schemes and the requirements of every operation. An operation that requires nothing says
/// so, because generators take silence for an omission.
pub fn add(paths: &mut Paths, components: &mut Components, access_control: &AccessControl) {
    let schemes = access_control.auth.as_deref().map(schemes).unwrap_or_default();
    let ways: Vec<&str> = schemes.iter().map(|(way, _)| *way).collect();
    components
        .security_schemes
        .extend(schemes.iter().map(|(way, scheme)| ((*way).to_owned(), scheme.clone().into())));
    for (path, item) in &mut paths.paths {
        let scope = scope_of(path, &access_control.protect).filter(|_| !ways.is_empty());
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            match scope {
                Some(scope) => guard(operation, path, scope, &ways),
                None => operation.security = Some(Vec::new()),
            }
        }
    }
}

fn schemes(auth: &Authenticator) -> Vec<(&'static str, SecurityScheme)> {
    let bearer = || HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
    let mut schemes = Vec::new();
    if auth.has_api_keys() {
        let key = bearer().description(Some("An API key: `authorization: Bearer KEY`."));
        let header = ApiKeyValue::with_description(
            API_KEY.as_str(),
            "The same API key, if `authorization` is used by a proxy.",
        );
        schemes.push((BEARER, SecurityScheme::Http(key.build())));
        schemes.push((HEADER, SecurityScheme::ApiKey(ApiKey::Header(header))));
    }
    if auth.has_tokens() {
        let described = "A token (JWT) of the configured issuer: `authorization: Bearer TOKEN`.";
        let token = bearer().bearer_format("JWT").description(Some(described));
        schemes.push((TOKEN, SecurityScheme::Http(token.build())));
    }
    schemes
}

/// Returns the scope that the router requires for a documented path.
fn scope_of(path: &str, protect: &[Protected]) -> Option<Scope> {
    match path {
        "/metrics" => protect.contains(&Protected::Metrics).then_some(Scope::Read),
        _ if path.starts_with("/health") => None,
        "/outcomes" => Some(Scope::Outcomes),
        _ if path.ends_with("/predict") => Some(Scope::Predict),
        _ => Some(Scope::Read),
    }
}

fn guard(operation: &mut Operation, path: &str, scope: Scope, ways: &[&str]) {
    let needs = ways.iter().map(|way| SecurityRequirement::new(*way, Vec::<String>::new()));
    operation.security = Some(needs.collect());
    let refusals = [
        (ApiError::NoKey, "The request has no valid API key or token.".to_owned()),
        (
            ApiError::MissingScope { scope },
            format!("The API key or token lacks the scope `{}`.", scope.name()),
        ),
    ];
    for (error, description) in refusals {
        let (status, example) = problem::example(&error, path);
        let response = problem_response(&description, Some(example));
        operation.responses.responses.insert(status.as_str().to_owned(), response.into());
    }
}
