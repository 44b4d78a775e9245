//! A ClickHouse starts, keeps what it acknowledged when it is killed, and answers again after a pause.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tidegate_services::{ClickHouse, clickhouse, tools};

#[test]
fn a_killed_clickhouse_still_has_every_row() {
    if let Err(missing) = clickhouse::fetch() {
        tools::left_out(&format!("{missing:#}"));
        return;
    }
    let dir = tempfile::tempdir().expect("there is room");
    let mut server = ClickHouse::start(dir.path()).expect("it starts");
    let address = server.address().clone();
    let query = |sql: &str| address.query(sql).expect("it is carried out");
    assert!(address.version().expect("it answers").contains('.'));
    query("CREATE DATABASE kept");
    query("CREATE TABLE kept.rows (key UInt64, text String) ENGINE = MergeTree ORDER BY key");
    for key in 0..3 {
        query(&format!("INSERT INTO kept.rows VALUES ({key}, 'row {key}')"));
        server.kill();
        assert!(address.query("SELECT 1").is_err(), "it is gone");
        server.restart().expect("it starts again");
        let rows: Vec<_> = (0..=key).map(|key| format!("{key}\trow {key}\n")).collect();
        assert_eq!(query("SELECT * FROM kept.rows ORDER BY key"), rows.concat());
    }
    let error = address.query("SELECT nope").expect_err("there is no such column").to_string();
    assert!(error.contains("Code: 47"), "{error}");

    server.pause().expect("it is stopped");
    let (sender, answer) = mpsc::channel();
    let asked = address.clone();
    let asking = thread::spawn(move || sender.send(asked.query("SELECT count() FROM kept.rows")));
    assert!(answer.recv_timeout(Duration::from_millis(200)).is_err(), "nothing answers");
    server.resume().expect("it goes on");
    assert_eq!(answer.recv().expect("an answer comes").expect("it is carried out"), "3\n");
    asking.join().expect("it has its answer").expect("the answer is waited for");
    let native = address.native_address().expect("it has a native port");
    std::net::TcpStream::connect(native).expect("somebody listens there");
}
