//! A sink's step on the way to a server: one exchange, whatever goes wrong in the middle of it.

use tidegate_cache::conformance::{NOW, Subject as _, batch, positions_after, row, said_as_of};
use tidegate_cache::redis::{RedisAt, RedisWriter};
use tidegate_cache::{Applied, Batch, CacheWriter as _, Config, Standing, WriteError};
use tidegate_model::{Offset, PartitionId};

use crate::subject::{Server, as_of};
use crate::wire::Wire;

/// Three partitions, a row of each from `offset` on.
fn batches(offset: u64) -> [Batch; 3] {
    [5_u32, 6, 7].map(|number| {
        let rows = vec![row(offset, number.into(), "a", offset + 1)];
        Batch { partition: PartitionId(number), ..batch(offset, rows) }
    })
}

/// A step whose rows begin at `offset`.
fn step(writer: &mut RedisWriter, offset: u64) -> Result<Vec<Applied>, WriteError> {
    let batches = batches(offset);
    let at = positions_after(&batches);
    writer.advance(&batches, Some(Standing { as_of: Some(as_of(offset)), at: &at }), NOW)
}

/// What comes of three rows that are new.
fn put() -> Vec<Applied> {
    vec![Applied { put: 1, ..Applied::default() }; 3]
}

/// What comes of three rows that are there.
fn repeated() -> Vec<Applied> {
    vec![Applied { repeated: 1, ..Applied::default() }; 3]
}

#[tokio::test]
async fn a_step_is_one_exchange() {
    let Some(server) = Server::start(&[]) else { return };
    let wire = Wire::to(server.redis.address());
    let mut cache = server.cache(Config::default());
    cache.0.at = RedisAt::Server(wire.address.parse().expect("it has a port"));
    let mut writer = cache.writer();
    assert_eq!(step(&mut writer, 0), Ok(put()));
    let before = wire.exchanges();
    assert_eq!(step(&mut writer, 1), Ok(put()));
    assert_eq!(wire.exchanges() - before, 1);
    assert_eq!(said_as_of(&cache.reader()).await, Some(as_of(1)));
}

/// The server goes on behind a command that it refuses. Nobody takes an answer for that of another command, and nothing is
/// said of a state that there is not.
#[tokio::test]
async fn a_refusal_in_the_middle_is_made_up_for() {
    let Some(server) = Server::start(&[]) else { return };
    let cache = server.cache(Config::default());
    let (mut writer, reader) = (cache.writer(), cache.reader());
    step(&mut writer, 0).expect("it is done");
    server.ask("DEL metrics:event:360000");
    server.ask("SET metrics:event:360000 mine");
    let said = step(&mut writer, 1).expect_err("it is not ours");
    assert!(matches!(&said, WriteError::Refused { .. }), "{said}");
    assert!(said.to_string().contains("belongs to something else"), "{said}");
    let positions = writer.positions().expect("it answers");
    let next: Vec<Offset> = positions.values().map(|position| position.next).collect();
    assert_eq!(next, [Offset(2), Offset(1), Offset(2)]);
    assert_eq!(said_as_of(&reader).await, Some(as_of(0)));

    server.ask("DEL metrics:event:360000");
    let applied = step(&mut writer, 1).expect("it is done");
    assert_eq!(applied.iter().map(|applied| applied.repeated).collect::<Vec<_>>(), [1, 0, 1]);
    assert_eq!(said_as_of(&reader).await, Some(as_of(1)));
}

#[test]
fn a_step_finds_its_connection_or_the_functions_gone_and_is_done() {
    let Some(server) = Server::start(&[]) else { return };
    let mut writer = server.cache(Config::default()).writer();
    for (offset, lost) in (0..).zip(["PING", "CLIENT KILL TYPE normal", "FUNCTION FLUSH", "PING"]) {
        server.ask(lost);
        assert_eq!(step(&mut writer, offset), Ok(put()), "{lost}");
    }
    assert_eq!(step(&mut writer, 3), Ok(repeated()));
}

/// Another writer takes over: of the first one's step nothing is there.
#[test]
fn a_step_of_a_writer_that_was_taken_over_from_changes_nothing() {
    let Some(server) = Server::start(&[]) else { return };
    let cache = server.cache(Config::default());
    let (mut earlier, mut later) = (cache.writer(), cache.writer());
    step(&mut earlier, 0).expect("it is done");
    let before = later.positions().expect("it takes over");
    assert!(matches!(step(&mut earlier, 1), Err(WriteError::Fenced { .. })));
    assert_eq!(later.positions().expect("it answers"), before);
}
