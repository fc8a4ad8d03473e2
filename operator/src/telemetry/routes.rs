//! Where metrics and probes are answered.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Telemetry;

/// What OpenMetrics readers expect of the answer.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Telemetry {
    /// `/metrics`, `/healthz` (the process answers) and `/readyz`.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/healthz", get(|| std::future::ready("ok")))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self.clone())
    }
}

async fn readyz(State(telemetry): State<Telemetry>) -> Response {
    match telemetry.unready() {
        None => "ok".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(telemetry): State<Telemetry>) -> Response {
    (
        [(header::CONTENT_TYPE, CONTENT_TYPE)],
        telemetry.metrics_text(),
    )
        .into_response()
}
