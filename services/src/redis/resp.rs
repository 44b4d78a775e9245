//! One command to a Redis: enough to see that it answers, and for a test to ask it something.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};

/// How long a server may take to connect, and to send the next bytes.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a command results in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// There is no such thing.
    Nothing,
    /// A word, or a value; what is not UTF-8 in it is replaced.
    Text(String),
    /// A number.
    Number(i64),
    /// Several.
    List(Vec<Reply>),
}

/// Sends one command over a connection of its own.
///
/// # Errors
/// When nobody answers, or the answer is an error, which is told.
pub fn command(address: &str, words: &[&str]) -> anyhow::Result<Reply> {
    let socket = address.to_socket_addrs().ok().and_then(|mut sockets| sockets.next());
    let socket = socket.with_context(|| format!("{address} is no address"))?;
    let mut stream = TcpStream::connect_timeout(&socket, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        write!(request, "${}\r\n{word}\r\n", word.len())?;
    }
    stream.write_all(request.as_bytes())?;
    reply(&mut BufReader::new(stream))
}

/// The version that answers at that address.
///
/// # Errors
/// Those of [`command`].
pub fn version(address: &str) -> anyhow::Result<String> {
    let Reply::Text(info) = command(address, &["INFO", "server"])? else { bail!("INFO is no text") };
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
    version.map(str::to_owned).context("INFO names no version")
}

/// Reads one reply of the protocol's second version.
fn reply(input: &mut impl BufRead) -> anyhow::Result<Reply> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let line = line.trim_end();
    let (kind, rest) = line.split_at_checked(1).context("the connection was closed")?;
    // A length below zero stands for what is not there.
    let length = || rest.parse::<i64>().map(|length| usize::try_from(length).ok());
    Ok(match kind {
        "+" => Reply::Text(rest.to_owned()),
        "-" => bail!("{rest}"),
        ":" => Reply::Number(rest.parse().with_context(|| format!("{rest:?} is no number"))?),
        "$" => match length()? {
            Some(length) => {
                let mut bytes = vec![0; length + 2];
                input.read_exact(&mut bytes)?;
                Reply::Text(String::from_utf8_lossy(&bytes[..length]).into_owned())
            }
            None => Reply::Nothing,
        },
        "*" => match length()? {
            Some(length) => Reply::List((0..length).map(|_| reply(input)).collect::<Result<_, _>>()?),
            None => Reply::Nothing,
        },
        _ => bail!("{line:?} is no reply"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_reply_is_read() {
        let text = |text: &str| Reply::Text(text.to_owned());
        for (bytes, expected) in [
            ("+OK\r\n", text("OK")),
            (":-3\r\n", Reply::Number(-3)),
            ("$4\r\na\r\nb\r\n", text("a\r\nb")),
            ("$0\r\n\r\n", text("")),
            ("$-1\r\n", Reply::Nothing),
            ("*-1\r\n", Reply::Nothing),
            (
                "*2\r\n:1\r\n*1\r\n$1\r\na\r\n",
                Reply::List(vec![Reply::Number(1), Reply::List(vec![text("a")])]),
            ),
        ] {
            assert_eq!(reply(&mut bytes.as_bytes()).expect("it is a reply"), expected, "{bytes:?}");
        }
        for (bytes, told) in [
            ("-ERR no\r\n", "ERR no"),
            ("", "closed"),
            ("!1\r\n", "\"!1\""),
            ("*1\r\n", "closed"),
            (":x\r\n", "\"x\""),
        ] {
            let error = reply(&mut bytes.as_bytes()).expect_err("it is none").to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
