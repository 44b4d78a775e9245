//! The least that a service in axum does with an event, and with a question: what `tidegate up` is measured beside.

use std::io::Write as _;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

/// That of the program `tidegate`, so that it is no part of the difference.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What the cache answers is about as long.
const READ_BYTES: usize = 2_000;

/// Takes the whole body, and forgets it.
async fn track(body: Bytes) -> (StatusCode, [(header::HeaderName, &'static str); 1], &'static str) {
    std::hint::black_box(body);
    (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], "{\"status\":\"accepted\"}")
}

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        // In the form in which `tidegate up` says where it listens.
        println!("ingest http://{address}\napi http://{address}\nsinks http://{address}");
        std::io::stdout().flush()?;
        let body = "x".repeat(READ_BYTES);
        let read = get(move || std::future::ready(body.clone()));
        let ready = get(|| std::future::ready(StatusCode::OK));
        let router = Router::new()
            .route("/v1/analytics/track", post(track))
            .route("/metrics/event/windows", read)
            .route("/v1/readyz", ready);
        // As the service does.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, router).await
    })
}
