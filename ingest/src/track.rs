//! `POST /v1/analytics/track`: one event from a body into the log.
//!
//! A request is looked at from what is cheap to what is dear: room, content type, size, JSON, faults.
//! Nothing is read of a request that there is no room for.

mod append;
mod body;
mod content_type;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use tidegate_log::{EventAppender, NewEvent};
use tidegate_model::Event;
use tidegate_model::event::Defaults;

use self::append::Append;
use crate::answer;
use crate::ingest::Shared;
use crate::refusal::Refusal;

/// The route.
pub(crate) const PATH: &str = "/v1/analytics/track";

/// The same route as some clients write it. The old service redirected them; that costs them a request.
pub(crate) const PATH_WITH_SLASH: &str = "/v1/analytics/track/";

/// How much longer the canonical form of an event usually is than what was sent: the defaults.
const DEFAULTS_BYTES: usize = 256;

/// The handler.
pub(crate) async fn track<A: EventAppender>(
    State(shared): State<Arc<Shared<A>>>,
    request: Request,
) -> Response {
    match take(&shared, request).await {
        Ok(()) => answer::accepted(),
        Err(refusal) => {
            shared.metrics.refused(&refusal);
            refusal.answer(&shared.config)
        }
    }
}

async fn take<A: EventAppender>(shared: &Arc<Shared<A>>, request: Request) -> Result<(), Refusal> {
    let permit = Arc::clone(&shared.room).try_acquire_owned().map_err(|_| Refusal::TooManyInFlight)?;
    content_type::check(request.headers())?;
    let body = body::read(request.into_body(), &shared.config).await?;
    let event = new_event(shared, &body)?;
    // While the log writes, only what it writes is held.
    drop(body);
    Append::begin(Arc::clone(shared), event, permit).await?;
    Ok(())
}

/// Reads the body as an event, and writes it as the log holds it.
fn new_event<A: EventAppender>(shared: &Shared<A>, body: &[u8]) -> Result<NewEvent, Refusal> {
    let now = (shared.parts.clock)();
    let event = Event::decode(body, &Defaults { id: (shared.parts.ids)(now), now })?;
    let mut value = Vec::with_capacity(body.len() + DEFAULTS_BYTES);
    event.encode_into(&mut value);
    let partition = shared.parts.appender.partition_of(&event.user_id);
    Ok(NewEvent { partition, key: event.user_id, value })
}
