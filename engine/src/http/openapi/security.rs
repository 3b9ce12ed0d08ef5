//! Which operations ask for a key, and how it is sent.

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, Paths};

use super::shapes::problem_response;
use crate::auth::Scope;
use crate::config::Protected;
use crate::http::guard::API_KEY;
use crate::http::problem::{self, ApiError};

/// The two ways to send a key.
const BEARER: &str = "key";
const HEADER: &str = "header";

/// Says of every operation that asks for a key that it does, and with which scope.
pub fn add(paths: &mut Paths, components: &mut Components, protect: &[Protected]) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key: `authorization: Bearer KEY`."))
        .build();
    let header =
        ApiKeyValue::with_description(API_KEY.as_str(), "The same API key, for those behind a proxy.");
    components.security_schemes.insert(BEARER.to_owned(), SecurityScheme::Http(bearer).into());
    components
        .security_schemes
        .insert(HEADER.to_owned(), SecurityScheme::ApiKey(ApiKey::Header(header)).into());
    for (path, item) in &mut paths.paths {
        let Some(scope) = scope_of(path, protect) else { continue };
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            guard(operation, path, scope);
        }
    }
}

/// What the router asks of a path that the document has.
fn scope_of(path: &str, protect: &[Protected]) -> Option<Scope> {
    match path {
        "/metrics" => protect.contains(&Protected::Metrics).then_some(Scope::Read),
        _ if path.starts_with("/health") => None,
        _ if path.starts_with("/admin/") => Some(Scope::Admin),
        _ if path.ends_with("/predict") || path == "/outcomes" => Some(Scope::Predict),
        _ => Some(Scope::Read),
    }
}

fn guard(operation: &mut Operation, path: &str, scope: Scope) {
    let needs = [BEARER, HEADER].map(|way| SecurityRequirement::new(way, Vec::<String>::new()));
    operation.security = Some(needs.to_vec());
    let refusals = [
        (ApiError::NoKey, "There is no valid API key with the request.".to_owned()),
        (ApiError::MissingScope { scope }, format!("The key has not the scope `{}`.", scope.name())),
    ];
    for (error, description) in refusals {
        let (status, example) = problem::example(&error, path);
        let response = problem_response(&description, Some(example));
        operation.responses.responses.insert(status.as_str().to_owned(), response.into());
    }
}
