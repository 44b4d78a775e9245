//! The writing side: one thread, one connection.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use redis::Value;
use tidegate_model::row::CacheView;
use tidegate_model::{AsOf, Epoch, EventTime, Offset, PartitionId, Schema};

use super::config::RedisConfig;
use super::failure::Failure;
use super::library::Function;
use super::{client, request};
use crate::batch::{Applied, Batch, Gap, LastRow, Position, Positions, Seed};
use crate::write::{CacheWriter, KindSize, Standing, WriteError};

/// Writes a cache in a Redis. Connects with the first request, and again when the connection is lost.
///
/// It takes over with its first request, from whoever wrote before, and never again: one that was taken over
/// from, and comes back after a pause, is told that it is fenced.
pub struct RedisWriter {
    config: RedisConfig,
    /// What tells this writer from all others.
    writer: String,
    /// Known once it has taken over.
    generation: Option<u64>,
    connection: Option<redis::Connection>,
}

impl std::fmt::Debug for RedisWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisWriter").field("config", &self.config).finish_non_exhaustive()
    }
}

impl RedisWriter {
    /// A writer; nothing is connected before the first request. `writer` is a number that no other one has.
    pub fn new(config: RedisConfig, writer: u64) -> Self {
        Self { config, writer: format!("{writer:016x}"), generation: None, connection: None }
    }

    /// Has a request carried out, unless another writer has taken over.
    fn call(&mut self, function: Function, request: String) -> Result<Value, WriteError> {
        let mut answers = self.call_all(&[(function, request)])?;
        Ok(answers.pop().expect("there is an answer to each"))
    }

    /// Has requests carried out, one after the other in one exchange, unless another writer has taken over. One that is
    /// not carried out does not keep the server from those after it.
    fn call_all(&mut self, requests: &[(Function, String)]) -> Result<Vec<Value>, WriteError> {
        let generation = self.generation()?;
        let said = generation.to_string();
        let call = |(function, request): &(Function, String)| {
            function.call(&self.config.prefix, &[request, &said, &self.writer])
        };
        let commands: Vec<redis::Cmd> = requests.iter().map(call).collect();
        let answers = self.ask_all(&commands)?;
        match answers.iter().find_map(Self::fenced_by) {
            Some(by) => Err(WriteError::Fenced { address: self.config.address(), generation, by }),
            None => Ok(answers),
        }
    }

    /// The generation of this writer, which takes over if it has none yet. To ask twice, when the first answer was
    /// lost, gives a later one, and that counts.
    fn generation(&mut self) -> Result<u64, WriteError> {
        if let Some(generation) = self.generation {
            return Ok(generation);
        }
        let answer = self.ask(Function::Claim.call(&self.config.prefix, &[&self.writer]))?;
        let generation = text(&answer).and_then(|text| text.parse().ok());
        self.generation = Some(generation.ok_or_else(|| self.odd(&answer))?);
        Ok(self.generation.expect("it was just found"))
    }

    fn ask(&mut self, command: redis::Cmd) -> Result<Value, WriteError> {
        let mut answers = self.ask_all(&[command])?;
        Ok(answers.pop().expect("there is an answer to each"))
    }

    /// Sends commands, and sends all of them again when nobody answers.
    ///
    /// An attempt without an answer may have been carried out. To repeat it is right, because every request
    /// says what is to be, and not by how much to change it:
    /// - `apply` and `skip` name the offset that they begin at. If the first attempt counted, the position is
    ///   at their end, and the rows below it are left out. If the server was restored meanwhile, the position
    ///   is where its values are, and the request is refused as a gap or applied from there. The epochs beside
    ///   the values are those of what is there in either case. The same holds for a replica that became the
    ///   master and lacks the last writes.
    /// - `seed` puts the same values and positions in the place of what there is. One writer writes: the others
    ///   are fenced.
    /// - `adopt` puts the position at the beginning of the new log; nobody has moved it since.
    /// - `set_as_of` and `expire` lead to the same state from the one that they led to.
    ///
    /// Of several commands those before the failure were carried out, and those after it may have been; all of them come
    /// again. `set_as_of` comes behind the rows that it speaks of, and is refused where some are missing.
    ///
    /// Only the counts of rows may come out as `repeated`.
    fn ask_all(&mut self, commands: &[redis::Cmd]) -> Result<Vec<Value>, WriteError> {
        let mut failure = None;
        for attempt in 0..self.config.attempts_max.max(1) {
            wait(self.config.pause_before(attempt));
            match self.ask_once(commands) {
                Ok(answers) => return Ok(answers),
                Err(found) => {
                    // Whatever it is, the next attempt begins by looking at the server anew.
                    self.connection = None;
                    let is_final = matches!(found, Failure::Refused(_) | Failure::Unfit(_));
                    failure = Some(found);
                    if is_final {
                        break;
                    }
                }
            }
        }
        Err(failure.expect("there is an attempt").write(&self.config.address()))
    }

    fn ask_once(&mut self, commands: &[redis::Cmd]) -> Result<Vec<Value>, Failure> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => empty.insert(client::connect(&self.config)?),
        };
        let mut sent = Vec::new();
        for command in commands {
            command.write_packed_command(&mut sent);
        }
        connection.send_packed_command(&sent).map_err(|error| Failure::of(&error))?;
        // The first failure ends it: a server that is silent is not waited for once for every command.
        let answer = |_| connection.recv_response().and_then(Value::extract_error);
        commands.iter().map(answer).collect::<Result<_, _>>().map_err(|error| Failure::of(&error))
    }

    fn odd(&self, answer: &Value) -> WriteError {
        Failure::odd(answer).write(&self.config.address())
    }

    /// What the answer to `apply` says.
    fn applied(&self, batch: &Batch, answer: &Value) -> Result<Applied, WriteError> {
        if let Some(next) = Self::gap(answer) {
            let (topic, partition, start) = (Arc::clone(&batch.topic), batch.partition, batch.range.start);
            return Err(WriteError::Gap { topic, partition, next, start });
        }
        match Self::done(answer).as_deref() {
            Some(&[put, removed, repeated, stale, old, refused]) => {
                Ok(Applied { put, removed, repeated, stale, old, refused })
            }
            _ => Err(self.odd(answer)),
        }
    }

    /// What an answer says that has nothing to tell.
    fn is_done(&self, answer: &Value) -> Result<(), WriteError> {
        Self::done(answer).map(drop).ok_or_else(|| self.odd(answer))
    }

    /// What the answer to `set_as_of` says.
    fn said(&self, answer: &Value) -> Result<(), WriteError> {
        if Self::done(answer).is_some() {
            return Ok(());
        }
        Err(moved(answer).unwrap_or_else(|| self.odd(answer)))
    }

    /// The numbers after `done`; `None` when something else is said.
    fn done(answer: &Value) -> Option<Vec<u64>> {
        let Value::Array(items) = answer else { return None };
        let (word, numbers) = items.split_first()?;
        if text(word)? != "done" {
            return None;
        }
        let number = |item: &Value| match item {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        numbers.iter().map(number).collect()
    }

    /// Who took over, where somebody did.
    fn fenced_by(answer: &Value) -> Option<u64> {
        let Value::Array(items) = answer else { return None };
        match &items[..] {
            [word, by] if text(word)? == "fenced" => text(by)?.parse().ok(),
            _ => None,
        }
    }

    /// The position that stands in the way, where one does.
    fn gap(answer: &Value) -> Option<Offset> {
        let Value::Array(items) = answer else { return None };
        match &items[..] {
            [word, next] if text(word)? == "gap" => text(next)?.parse().ok().map(Offset),
            _ => None,
        }
    }
}

impl CacheWriter for RedisWriter {
    fn positions(&mut self) -> Result<Positions, WriteError> {
        // Taken over first: what another writer still had under way cannot come after they were read.
        self.generation()?;
        let mut command = redis::cmd("HGETALL");
        command.arg(format!("{}tidegate:positions", self.config.prefix));
        let answer = self.ask(command)?;
        let entries = match &answer {
            Value::Map(entries) => entries,
            other => return Err(self.odd(other)),
        };
        let entries = entries.iter().map(|(source, position)| entry(text(source)?, text(position)?));
        entries.collect::<Option<Positions>>().ok_or_else(|| self.odd(&answer))
    }

    fn seed(&mut self, seed: &Seed, now: EventTime) -> Result<(), WriteError> {
        let answer = self.call(Function::Seed, request::seed(seed, &self.config.limits, now))?;
        self.is_done(&answer)
    }

    fn apply(&mut self, batch: &Batch, now: EventTime) -> Result<Applied, WriteError> {
        let answer = self.call(Function::Apply, request::apply(batch, &self.config.limits, now))?;
        self.applied(batch, &answer)
    }

    fn skip(&mut self, gap: &Gap) -> Result<(), WriteError> {
        let answer = self.call(Function::Skip, request::skip(gap))?;
        if let Some(next) = Self::gap(&answer) {
            let (topic, partition, start) = (Arc::clone(&gap.topic), gap.partition, gap.missing.start);
            return Err(WriteError::Gap { topic, partition, next, start });
        }
        self.is_done(&answer)
    }

    fn adopt(&mut self, source: &(Arc<str>, PartitionId), start: Offset) -> Result<(), WriteError> {
        let answer = self.call(Function::Adopt, request::adopt(source, start))?;
        self.is_done(&answer)
    }

    fn set_as_of(&mut self, as_of: Option<AsOf>, at: &Positions) -> Result<(), WriteError> {
        let answer = self.call(Function::SetAsOf, request::set_as_of(as_of, at))?;
        self.said(&answer)
    }

    fn expire(&mut self, now: EventTime) -> Result<(), WriteError> {
        let answer = self.call(Function::Expire, request::expire(now))?;
        self.is_done(&answer)
    }

    fn advance(
        &mut self,
        batches: &[Batch],
        standing: Option<Standing<'_>>,
        now: EventTime,
    ) -> Result<Vec<Applied>, WriteError> {
        let limits = &self.config.limits;
        let apply = |batch| (Function::Apply, request::apply(batch, limits, now));
        let mut requests: Vec<_> = batches.iter().map(apply).collect();
        requests.push((Function::Expire, request::expire(now)));
        if let Some(Standing { as_of, at }) = standing {
            requests.push((Function::SetAsOf, request::set_as_of(as_of, at)));
        }
        let answers = self.call_all(&requests)?;
        let (to_batches, others) = answers.split_at(batches.len());
        let applied = batches.iter().zip(to_batches).map(|(batch, answer)| self.applied(batch, answer));
        let applied = applied.collect::<Result<_, _>>()?;
        self.is_done(&others[0])?;
        others.get(1).map_or(Ok(()), |answer| self.said(answer))?;
        Ok(applied)
    }

    fn sizes(&mut self) -> Result<Vec<KindSize>, WriteError> {
        let answer = self.ask(Function::Sizes.call(&self.config.prefix, &[]))?;
        let Value::Array(items) = &answer else { return Err(self.odd(&answer)) };
        let size = |item: &[Value]| {
            let [kind, Value::Int(windows), Value::Int(live_windows)] = item else { return None };
            let kind = view(text(kind)?)?.kind;
            let (windows, live_windows) =
                (usize::try_from(*windows).ok()?, usize::try_from(*live_windows).ok()?);
            Some(KindSize { kind, windows, live_windows })
        };
        // Kinds that only a later version knows are not ours to count.
        let mut sizes: Vec<KindSize> = items.chunks(3).filter_map(size).collect();
        sizes.sort_by_key(|size| size.kind);
        Ok(sizes)
    }
}

/// The kind of that name.
pub(super) fn view(kind: &str) -> Option<&'static CacheView> {
    Schema::ALL.into_iter().filter_map(|schema| schema.cache.as_ref()).find(|view| view.kind == kind)
}

pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

fn place(source: &str) -> Option<(Arc<str>, PartitionId)> {
    let (topic, partition) = source.rsplit_once(':')?;
    Some((topic.into(), PartitionId(partition.parse().ok()?)))
}

fn entry(source: &str, position: &str) -> Option<((Arc<str>, PartitionId), Position)> {
    let numbers = position.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
    let position = match numbers[..] {
        [next] => Position { next: Offset(next), last: None },
        [next, offset, epoch] => {
            let last = Some(LastRow { offset: Offset(offset), epoch: Epoch(epoch) });
            Position { next: Offset(next), last }
        }
        _ => return None,
    };
    Some((place(source)?, position))
}

fn moved(answer: &Value) -> Option<WriteError> {
    let Value::Array(items) = answer else { return None };
    let [word, source, expected, actual] = &items[..] else { return None };
    if text(word)? != "moved" {
        return None;
    }
    let (topic, partition) = place(text(source)?)?;
    let offset = |value| text(value)?.parse().ok().map(Offset);
    Some(WriteError::Moved { topic, partition, expected: offset(expected)?, actual: offset(actual)? })
}

/// Lets time pass; this thread has nothing else to do.
fn wait(pause: Duration) {
    let until = Instant::now() + pause;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}
