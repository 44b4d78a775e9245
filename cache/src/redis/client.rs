//! The way to the server: what every connection begins with.

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion,
    RedisConnectionInfo, Value,
};

use super::config::RedisConfig;
use super::failure::Failure;
use super::library;

/// The client of a configuration; connects nothing.
pub(super) fn client(config: &RedisConfig) -> Result<Client, Failure> {
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
    let address = ConnectionAddr::Tcp(config.host.clone(), config.port);
    let info = address.into_connection_info().map_err(|error| Failure::of(&error))?;
    Client::open(info.set_redis_settings(settings)).map_err(|error| Failure::of(&error))
}

/// A connection for a thread that waits, to a server that can be used.
pub(super) fn connect(config: &RedisConfig) -> Result<redis::Connection, Failure> {
    let connect = || {
        let client = client(config).map_err(Err)?;
        let mut connection = client.get_connection_with_timeout(config.connect_timeout).map_err(Ok)?;
        connection.set_read_timeout(Some(config.answer_timeout)).map_err(Ok)?;
        connection.set_write_timeout(Some(config.answer_timeout)).map_err(Ok)?;
        let info: String = info().query(&mut connection).map_err(Ok)?;
        refuse_cluster(&info).map_err(Err)?;
        let listed: Value = library::list().query(&mut connection).map_err(Ok)?;
        if !library::is_loaded(&listed) {
            library::load().exec(&mut connection).map_err(Ok)?;
        }
        Ok(connection)
    };
    connect().map_err(|error: Result<redis::RedisError, Failure>| match error {
        Ok(error) => Failure::of_connecting(&error),
        Err(failure) => failure,
    })
}

/// A connection for many tasks, to a server that can be used. The library is loaded when it is missing.
pub(super) async fn connect_async(
    config: &RedisConfig,
) -> Result<redis::aio::MultiplexedConnection, Failure> {
    let limits = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.connect_timeout))
        .set_response_timeout(Some(config.answer_timeout));
    let client = client(config)?;
    let connection = client.get_multiplexed_async_connection_with_config(&limits).await;
    let mut connection = connection.map_err(|error| Failure::of_connecting(&error))?;
    let info: String = info().query_async(&mut connection).await.map_err(|error| Failure::of(&error))?;
    refuse_cluster(&info)?;
    Ok(connection)
}

fn info() -> redis::Cmd {
    let mut command = redis::cmd("INFO");
    command.arg("cluster");
    command
}

fn refuse_cluster(info: &str) -> Result<(), Failure> {
    if info.lines().any(|line| line.trim_end() == "cluster_enabled:1") {
        return Err(Failure::cluster());
    }
    Ok(())
}
