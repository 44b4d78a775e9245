//! The way to the server: what every connection begins with.

use std::convert::Infallible;

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion, PushInfo,
    PushKind, RedisConnectionInfo, Value,
};

use super::config::{HostPort, RedisAt, RedisConfig};
use super::failure::Failure;
use super::held::Changes;
use super::server::{Wanted, info, judge};
use super::{library, sentinel};

/// A connection for a thread that waits, to a server that can be written, with the functions in it.
pub(super) fn connect(config: &RedisConfig) -> Result<redis::Connection, Failure> {
    let mut failure = None;
    for server in candidates(config)? {
        match connect_to(&server, config) {
            Ok(connection) => return Ok(connection),
            Err(found) => failure = failure.or(Some(found.met_at(&server, config))),
        }
    }
    Err(failure.expect("there is a server"))
}

/// A connection to the server that a writer would take, whatever that is.
pub(super) fn connect_to_look(config: &RedisConfig) -> Result<(HostPort, redis::Connection), Failure> {
    let mut failure = None;
    for server in candidates(config)? {
        match open(&server, config) {
            Ok(connection) => return Ok((server, connection)),
            Err(found) => failure = failure.or(Some(found.met_at(&server, config))),
        }
    }
    Err(failure.expect("there is a server"))
}

fn open(server: &HostPort, config: &RedisConfig) -> Result<redis::Connection, Failure> {
    let failure = |error| Failure::of(&error);
    let connected = client(server, config)?.get_connection_with_timeout(config.connect_timeout);
    let connection = connected.map_err(|error| Failure::of_connecting(&error))?;
    connection.set_read_timeout(Some(config.answer_timeout)).map_err(failure)?;
    connection.set_write_timeout(Some(config.answer_timeout)).map_err(failure)?;
    Ok(connection)
}

fn connect_to(server: &HostPort, config: &RedisConfig) -> Result<redis::Connection, Failure> {
    let failure = |error| Failure::of(&error);
    let mut connection = open(server, config)?;
    let said: String = info().query(&mut connection).map_err(failure)?;
    judge(&said, wanted(config, true))?;
    let listed: Value = library::list().query(&mut connection).map_err(failure)?;
    if !library::is_loaded(&listed) {
        library::load().exec(&mut connection).map_err(failure)?;
    }
    Ok(connection)
}

/// A connection for many tasks, to a server that can be read. The functions may be missing there.
/// It counts what the server says of `changes` to what was read over it, and its own end.
pub(super) async fn connect_async(
    config: &RedisConfig,
    changes: &Changes,
) -> Result<redis::aio::MultiplexedConnection, Failure> {
    let mut failure = None;
    for server in candidates_async(config).await? {
        match connect_tracking_to(&server, config, changes).await {
            Ok(connection) => return Ok(connection),
            Err(found) => failure = failure.or(Some(found.met_at(&server, config))),
        }
    }
    Err(failure.expect("there is a server"))
}

async fn connect_async_to(
    server: &HostPort,
    config: &RedisConfig,
    changes: &Changes,
) -> Result<redis::aio::MultiplexedConnection, Failure> {
    let told = changes.clone();
    let limits = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.connect_timeout))
        .set_response_timeout(Some(config.answer_timeout))
        // Whatever it is that nobody asked for.
        .set_push_sender(move |push: PushInfo| {
            match push.kind {
                PushKind::Disconnection => told.note_end(),
                _ => told.note(),
            }
            Ok::<_, Infallible>(())
        });
    let connected = client(server, config)?.get_multiplexed_async_connection_with_config(&limits).await;
    let mut connection = connected.map_err(|error| Failure::of_connecting(&error))?;
    let said: String = info().query_async(&mut connection).await.map_err(|error| Failure::of(&error))?;
    judge(&said, wanted(config, false))?;
    Ok(connection)
}

async fn connect_tracking_to(
    server: &HostPort,
    config: &RedisConfig,
    changes: &Changes,
) -> Result<redis::aio::MultiplexedConnection, Failure> {
    let mut connection = connect_async_to(server, config, changes).await?;
    if !config.answers_held.is_zero() {
        let tracked = track(config).exec_async(&mut connection).await;
        tracked.map_err(|error| Failure::of(&error))?;
    }
    Ok(connection)
}

/// Has the server say when a key changes that closed windows are read from. Not which ones were read: Redis 7.0 does not
/// count what a function reads.
fn track(config: &RedisConfig) -> redis::Cmd {
    let mut command = redis::cmd("CLIENT");
    command.arg("TRACKING").arg("ON").arg("BCAST");
    for keys in ["metrics:", "tidegate:"] {
        command.arg("PREFIX").arg(format!("{}{keys}", config.prefix));
    }
    command
}

/// A connection that is told what is published on `channels`.
pub(super) async fn subscribe(
    config: &RedisConfig,
    channels: &[String],
) -> Result<redis::aio::PubSub, Failure> {
    let mut failure = None;
    for server in candidates_async(config).await? {
        match subscribe_at(&server, config, channels).await {
            Ok(connection) => return Ok(connection),
            Err(found) => failure = failure.or(Some(found.met_at(&server, config))),
        }
    }
    Err(failure.expect("there is a server"))
}

async fn subscribe_at(
    server: &HostPort,
    config: &RedisConfig,
    channels: &[String],
) -> Result<redis::aio::PubSub, Failure> {
    // A connection that is told things cannot ask.
    drop(connect_async_to(server, config, &Changes::default()).await?);
    let client = client(server, config)?;
    let subscribe = async {
        let mut subscription = client.get_async_pubsub().await?;
        for channel in channels {
            subscription.subscribe(channel).await?;
        }
        Ok(subscription)
    };
    match tokio::time::timeout(config.connect_timeout, subscribe).await {
        Ok(subscription) => subscription.map_err(|error| Failure::of_connecting(&error)),
        Err(_) => Err(Failure::Unreachable("it took too long to subscribe".to_owned())),
    }
}

/// The client of a server; connects nothing.
fn client(server: &HostPort, config: &RedisConfig) -> Result<Client, Failure> {
    let mut settings = RedisConnectionInfo::default()
        .set_db(i64::from(config.db))
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name("tidegate", env!("CARGO_PKG_VERSION"));
    if let Some(username) = &config.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &config.password {
        settings = settings.set_password(password.reveal());
    }
    let address = ConnectionAddr::Tcp(server.host.clone(), server.port);
    let info = address.into_connection_info().map_err(|error| Failure::of(&error))?;
    Client::open(info.set_redis_settings(settings)).map_err(|error| Failure::of(&error))
}

pub(super) fn wanted(config: &RedisConfig, writes: bool) -> Wanted {
    Wanted { writes, by_sentinels: matches!(config.at, RedisAt::Sentinels(_)) }
}

/// Where the server may be now.
fn candidates(config: &RedisConfig) -> Result<Vec<HostPort>, Failure> {
    match &config.at {
        RedisAt::Server(server) => Ok(vec![server.clone()]),
        RedisAt::Sentinels(sentinels) => sentinel::masters(sentinels, config),
    }
}

async fn candidates_async(config: &RedisConfig) -> Result<Vec<HostPort>, Failure> {
    if let RedisAt::Server(server) = &config.at {
        return Ok(vec![server.clone()]);
    }
    let config = config.clone();
    let asked = tokio::task::spawn_blocking(move || candidates(&config)).await;
    asked.unwrap_or_else(|error| Err(Failure::Unreachable(format!("the Sentinels were not asked: {error}"))))
}
