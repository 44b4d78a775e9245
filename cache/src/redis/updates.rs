//! Following a cache in a Redis: a connection of its own, and a task that reads it.
//!
//! Redis forgets what a subscriber did not get. So updates are numbered by the server, and a number that is
//! left out, like a broken connection, is told as [`UpdateError::Missed`].

use futures_util::StreamExt as _;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::config::RedisConfig;
use super::failure::Failure;
use super::held::Changes;
use super::{change, client};
use crate::change::Update;
use crate::read::{UpdateError, Updates};

/// The updates of a cache in a Redis. The [`Config::updates_max`](crate::Config::updates_max) newest wait for
/// a subscriber.
#[derive(Debug)]
pub struct RedisUpdates {
    received: broadcast::Receiver<Received>,
    task: JoinHandle<()>,
    /// The number of the last update.
    last: Option<u64>,
}

/// What the task hands over.
#[derive(Clone, Debug)]
enum Received {
    Update(Update),
    /// Updates may have been lost; those that follow are of a new subscription.
    Broken,
}

impl RedisUpdates {
    /// Whoever is told of an update finds it: `changes` know of it before it is handed over.
    pub(super) async fn subscribe(config: RedisConfig, changes: Changes) -> Result<Self, Failure> {
        let subscription = client::subscribe(&config, &channels(&config)).await?;
        changes.note_beginning();
        let (sender, received) = broadcast::channel(config.limits.updates_max.max(1));
        let task = tokio::spawn(follow(config, subscription, changes, sender));
        Ok(Self { received, task, last: None })
    }
}

impl Drop for RedisUpdates {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Updates for RedisUpdates {
    async fn next(&mut self) -> Result<Update, UpdateError> {
        let received = self.received.recv().await;
        match received {
            Ok(Received::Update(update)) => {
                let follows = self.last.is_none_or(|last| last.checked_add(1) == Some(update.seq));
                self.last = Some(update.seq);
                // Where something is missing it is read again, and this update with it: values are absolute.
                if follows { Ok(update) } else { Err(UpdateError::Missed) }
            }
            Ok(Received::Broken) | Err(broadcast::error::RecvError::Lagged(_)) => {
                self.last = None;
                Err(UpdateError::Missed)
            }
            Err(broadcast::error::RecvError::Closed) => Err(UpdateError::Closed),
        }
    }
}

/// Reads messages until it is aborted, and subscribes again when the connection is lost. Pauses between
/// attempts have a limit; their number has none, since whoever follows is told by the first success.
async fn follow(
    config: RedisConfig,
    mut subscription: redis::aio::PubSub,
    told: Changes,
    sender: broadcast::Sender<Received>,
) {
    let [changes, as_of] = channels(&config);
    loop {
        while let Some(message) = message(&mut subscription, &changes, &config).await {
            let text = std::str::from_utf8(message.get_payload_bytes()).unwrap_or_default();
            let read = if message.get_channel_name() == as_of { change::as_of } else { change::change };
            // What nobody here understands leaves a number out, which is told.
            if let Some(update) = read(text) {
                told.note_update(update.seq);
                // Nobody is listening any more when it fails, and the task is about to be aborted.
                let _ = sender.send(Received::Update(update));
            }
        }
        let mut attempt = 0_u32;
        subscription = loop {
            tokio::time::sleep(config.pause_before(attempt)).await;
            attempt = attempt.saturating_add(1);
            if let Ok(subscription) = client::subscribe(&config, &channels(&config)).await {
                break subscription;
            }
        };
        told.note_beginning();
        let _ = sender.send(Received::Broken);
    }
}

/// The next message; `None` when the connection is lost. One that was cut off looks like silence, so after some of it
/// the server has to say something: that the channel is subscribed to, which it is.
async fn message(
    subscription: &mut redis::aio::PubSub,
    channel: &str,
    config: &RedisConfig,
) -> Option<redis::Msg> {
    loop {
        if let Ok(message) = tokio::time::timeout(config.silence, subscription.on_message().next()).await {
            return message;
        }
        let asked = tokio::time::timeout(config.answer_timeout, subscription.subscribe(channel)).await;
        asked.ok()?.ok()?;
    }
}

/// The channels of changes and of how far rows are in.
fn channels(config: &RedisConfig) -> [String; 2] {
    ["cache:updates", "cache:as_of"].map(|channel| format!("{}{channel}", config.prefix))
}
