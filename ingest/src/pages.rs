//! `/openapi.json`, and `/docs`, which shows it without loading anything from elsewhere.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use axum::routing::get;
use tidegate_server::problem;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::answer::JSON;

/// The description of the service, as `OpenAPI` 3.1 has it.
pub const OPENAPI: &str = include_str!("../openapi.json");

/// Where it is.
const OPENAPI_PATH: &str = "/openapi.json";

/// A browser that keeps to this loads nothing from anywhere else, whatever a later page tries.
const ONLY_FROM_HERE: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; \
                              frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The routes of both.
pub(crate) fn routes() -> Router {
    // The badge of the validator is an image from swagger.io, and would tell it our address.
    let config = Config::from(OPENAPI_PATH).validator_url("none");
    let policy = SetResponseHeaderLayer::overriding(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(ONLY_FROM_HERE),
    );
    let page: Router = SwaggerUi::new("/docs").config(config).into();
    // The page's own 404 has no body; here every refusal says what is wrong.
    let page = page.layer(middleware::from_fn(async |request: Request, next: Next| {
        let uri = request.uri().clone();
        let answer = next.run(request).await;
        if answer.status() == StatusCode::NOT_FOUND {
            return problem::not_found(uri).await.into_response();
        }
        answer
    }));
    let document = async || ([(header::CONTENT_TYPE, JSON)], OPENAPI).into_response();
    Router::new().route(OPENAPI_PATH, get(document)).merge(page.layer(policy))
}
