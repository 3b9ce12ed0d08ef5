//! The OpenAPI document, generated from the schemas of the served models, and Swagger UI.

mod drift;
mod identifiers;
mod outcomes;
pub mod page;
mod routes;
mod rows;
mod security;
mod shapes;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use onnward_serving::registry::ServingModel;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths, Server};

use crate::state::{AccessControl, Admission, Models};

/// Answers `GET /openapi.json`.
pub async fn document_route(
    State(models): State<Arc<Models>>,
    State(admission): State<Arc<Admission>>,
    State(access_control): State<Arc<AccessControl>>,
) -> Json<OpenApi> {
    Json(document(&models, admission.rows_limits.max_rows, &access_control))
}

/// Returns the OpenAPI 3.1 document for the models that are served now.
fn document(models: &Models, max_rows: usize, access_control: &AccessControl) -> OpenApi {
    let default = models.registry.default_model();
    let models = models.registry.serving();
    let identifiers = identifiers::of_models(models.iter().map(|model| model.name.as_str()));
    let documented = |model: &Arc<ServingModel>| {
        let identifier = identifiers.get(model.name.as_str());
        identifier.map(|identifier| rows::Documented::new(Arc::clone(model), identifier.clone()))
    };
    let mut paths = Paths::new();
    let mut components = Components::new();
    components.schemas.extend(shapes::components(&models));
    if let Some(model) = default.as_ref().and_then(documented) {
        paths.add_path_operation("/predict", vec![rows::POST], rows::operation(&model, rows::Route::Default));
    }
    for model in models.iter().filter_map(documented) {
        components.schemas.extend(rows::components(&model, max_rows));
        for route in rows::Route::NAMED {
            paths.add_path_operation(
                route.path(&model.model().name),
                vec![rows::POST],
                rows::operation(&model, route),
            );
        }
    }
    outcomes::add(&mut paths, &mut components, &models, max_rows);
    routes::add(&mut paths, &mut components, &models);
    security::add(&mut paths, &mut components, access_control);
    let tag =
        |name: &str, description: &str| TagBuilder::new().name(name).description(Some(description)).build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Onnward")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(ABOUT))
                .license(Some(
                    LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build(),
                ))
                .build(),
        )
        // Without a server, some generators take an address of their own.
        .servers(Some([Server::new("/")]))
        .paths(paths)
        .components(Some(components))
        .tags(Some([
            tag(shapes::PREDICTIONS, "Predictions by the served models."),
            tag(shapes::OUTCOMES, "Ground truth and performance."),
            tag(shapes::MODELS, "Models, versions and drift."),
            tag(shapes::OPERATIONS, "Health checks and metrics."),
        ]))
        .build()
}

const ABOUT: &str = "Predictions by the models that this engine serves. Every error response is a problem \
document (RFC 9457). If rows do not match their model's schema, `errors` lists all violations at once. Bodies may be compressed with \
`content-encoding: gzip` or `zstd`, and responses of 1 KiB or more are if `accept-encoding` asks for it.";
