//! The reading side: one connection for all tasks, one function call for an answer, which everybody shares who asks for
//! the same before it is made, or before anything changes.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use redis::Value;
use redis::aio::MultiplexedConnection;
use tidegate_model::{AsOf, Epoch, EventTime, Window};
use tokio::sync::Mutex;

use super::config::RedisConfig;
use super::failure::Failure;
use super::held::{AskAnew, Given, Held, Numbered};
use super::library::{self, Function};
use super::number::number;
use super::turns::Turns;
use super::updates::RedisUpdates;
use super::writer::text;
use super::{client, request};
use crate::read::{Answer, Ask, CacheReader, ReadError};
use crate::window::CachedWindow;

/// Reads a cache in a Redis. Clones share a connection.
#[derive(Clone)]
pub struct RedisReader {
    shared: Arc<Shared>,
}

struct Shared {
    config: RedisConfig,
    /// Held for as long as it takes to connect, so that one task does it for all.
    connection: Mutex<Shareable>,
    looks: Turns<Vec<Ask>, Result<Found, ReadError>>,
    held: Held<Found>,
}

#[derive(Default)]
struct Shareable {
    connection: Option<MultiplexedConnection>,
    /// Why the last attempt to connect failed, and when.
    failed: Option<(Instant, Failure)>,
}

impl std::fmt::Debug for RedisReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisReader").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

/// What the function says.
#[derive(Clone, Debug, Default, PartialEq)]
struct Found {
    ready: bool,
    answer: Answer,
}

impl Numbered for Found {
    fn seq(&self) -> u64 {
        self.answer.seq
    }
}

impl RedisReader {
    /// A reader; nothing is connected before the first request.
    pub fn new(config: RedisConfig) -> Self {
        let held = Held::new(config.answers_held);
        let (connection, looks) = (Mutex::default(), Turns::default());
        Self { shared: Arc::new(Shared { config, connection, looks, held }) }
    }

    /// Sends a command; once more over a new connection when the one there was is broken.
    async fn ask(&self, command: &redis::Cmd) -> Result<Value, Failure> {
        let mut failure = None;
        for _ in 0..2 {
            let mut connection = self.connection().await?;
            match command.query_async(&mut connection).await {
                Ok(value) => return Ok(value),
                Err(error) => match Failure::of(&error) {
                    Failure::NotLoaded => {
                        // Nobody wrote yet, or somebody removed it.
                        let loaded = library::load().exec_async(&mut connection).await;
                        loaded.map_err(|error| Failure::of(&error))?;
                        failure = Some(Failure::NotLoaded);
                    }
                    broken @ (Failure::Unreachable(_) | Failure::Demoted(_)) => {
                        self.shared.connection.lock().await.connection = None;
                        self.shared.held.changes().note_end();
                        failure = Some(broken);
                        if error.is_timeout() {
                            // It had its time.
                            break;
                        }
                    }
                    refused @ (Failure::Refused(_) | Failure::Unfit(_)) => return Err(refused),
                },
            }
        }
        Err(failure.expect("there was an attempt"))
    }

    async fn connection(&self) -> Result<MultiplexedConnection, Failure> {
        let came = Instant::now();
        let mut shareable = self.shared.connection.lock().await;
        if let Some(connection) = &shareable.connection {
            return Ok(connection.clone());
        }
        // Those who waited for an attempt share its end: where nobody answers, one after the other would wait for
        // as long.
        if let Some((_, failure)) = shareable.failed.as_ref().filter(|(at, _)| *at > came) {
            return Err(failure.clone());
        }
        let connected = client::connect_async(&self.shared.config, self.shared.held.changes()).await;
        shareable.failed = connected.as_ref().err().map(|failure| (Instant::now(), failure.clone()));
        Ok(shareable.connection.insert(connected?).clone())
    }

    async fn look(&self, asks: &[Ask]) -> Result<Found, ReadError> {
        match self.shared.held.get(asks) {
            Some(Given::New(found) | Given::Old(found, AskAnew::Somebody)) => Ok(found),
            Some(Given::Old(found, AskAnew::Yes)) => {
                let (reader, asks) = (self.clone(), asks.to_vec());
                // Where it fails, those who come later ask themselves, and are told why.
                tokio::spawn(async move { reader.look_in_turn(&asks).await.map(drop) });
                Ok(found)
            }
            None => self.look_in_turn(asks).await,
        }
    }

    async fn look_in_turn(&self, asks: &[Ask]) -> Result<Found, ReadError> {
        self.shared.looks.share(asks.to_vec(), self.look_alone(asks)).await
    }

    async fn look_alone(&self, asks: &[Ask]) -> Result<Found, ReadError> {
        let held = &self.shared.held;
        // Whoever had the turn before may have been told.
        if let Some(Given::New(found)) = held.get(asks) {
            return Ok(found);
        }
        let (asked, changes) = (Instant::now(), held.changes().count());
        let command = Function::Read.call(&self.shared.config.prefix, &[&request::read(asks)]);
        let answer = self.ask(&command).await;
        let found = answer.and_then(|answer| found(&answer).ok_or_else(|| Failure::odd(&answer)));
        let found = found.map_err(|failure| failure.read(&self.shared.config.address()))?;
        held.keep(asks, &found, asked, changes);
        Ok(found)
    }
}

impl CacheReader for RedisReader {
    type Updates = RedisUpdates;

    async fn read(&self, asks: &[Ask]) -> Result<Answer, ReadError> {
        Ok(self.look(asks).await?.answer)
    }

    async fn ready(&self) -> Result<bool, ReadError> {
        Ok(self.look(&[]).await?.ready)
    }

    async fn ping(&self) -> Result<(), ReadError> {
        let answer = self.ask(&redis::cmd("PING")).await;
        answer.map(drop).map_err(|failure| failure.read(&self.shared.config.address()))
    }

    async fn subscribe(&self) -> Result<RedisUpdates, ReadError> {
        let config = &self.shared.config;
        let subscribed = RedisUpdates::subscribe(config.clone(), self.shared.held.changes().clone()).await;
        subscribed.map_err(|failure| failure.read(&config.address()))
    }
}

/// What an answer of the function says; `None` when it is none.
fn found(answer: &Value) -> Option<Found> {
    let Value::Array(items) = answer else { return None };
    let [seq, ready, epoch, frontier, Value::Array(answers)] = &items[..] else { return None };
    let seq = match text(seq)? {
        "" => 0,
        seq => seq.parse().ok()?,
    };
    let as_of = match (text(epoch)?, text(frontier)?) {
        ("", _) | (_, "") => None,
        (epoch, frontier) => {
            let frontier = EventTime::from_millis(frontier.parse().ok()?);
            Some(AsOf { epoch: Epoch(epoch.parse().ok()?), frontier })
        }
    };
    let windows = answers.iter().map(|windows| {
        let Value::Array(windows) = windows else { return None };
        windows.chunks(2).map(|shown| window(shown).map(Arc::new)).collect()
    });
    let answer = Answer { as_of, seq, windows: windows.collect::<Option<_>>()? };
    Some(Found { ready: text(ready)? == "1", answer })
}

/// A window of its start and its text: its end, and names and values in turn, all as text, so that no number loses
/// anything.
fn window(shown: &[Value]) -> Option<CachedWindow> {
    let [start, shown] = shown else { return None };
    let shown: Vec<Cow<'_, str>> = serde_json::from_str(text(shown)?).ok()?;
    let (end, fields) = shown.split_first()?;
    let instant = |text: &str| text.parse().ok().map(EventTime::from_millis);
    let window = Window { start: instant(text(start)?)?, end: instant(end)? };
    let fields = fields.chunks(2).map(|pair| {
        let [name, value] = pair else { return None };
        Some((name.as_ref().into(), number(value)?))
    });
    Some(CachedWindow { window, fields: fields.collect::<Option<_>>()? })
}
