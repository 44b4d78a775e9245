//! Messages on a connection: their length in four bytes, then JSON.

use std::io::{self, ErrorKind, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What is longer was not sent by one of us.
const BYTES_MAX: usize = 16 << 20;

const PREFIX: usize = size_of::<u32>();

/// Sends a message.
pub(super) fn send(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut bytes = vec![0; PREFIX];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - PREFIX;
    if length > BYTES_MAX {
        return Err(io::Error::new(ErrorKind::InvalidInput, format!("a message of {length} bytes")));
    }
    let prefix = u32::try_from(length).expect("it is no longer than the limit");
    bytes[..PREFIX].copy_from_slice(&prefix.to_be_bytes());
    stream.write_all(&bytes)?;
    stream.flush()
}

/// Receives one message and not a byte more. Where the stream has a timeout, a part of it may be lost by that.
pub(super) fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut prefix = [0; PREFIX];
    stream.read_exact(&mut prefix)?;
    let mut bytes = vec![0; length(prefix)?];
    stream.read_exact(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn length(prefix: [u8; PREFIX]) -> io::Result<usize> {
    let length = u32::from_be_bytes(prefix) as usize;
    if length > BYTES_MAX {
        let reason = format!("{length} bytes are announced, and {BYTES_MAX} may be");
        return Err(io::Error::new(ErrorKind::InvalidData, reason));
    }
    Ok(length)
}

/// Messages that come in, however they are cut into pieces and whenever reading times out.
pub(super) struct Frames<S> {
    stream: S,
    bytes: Vec<u8>,
}

impl<S: Read> Frames<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, bytes: Vec::new() }
    }

    /// The next message; `None` when the stream's timeout passed and nothing came.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(prefix) = self.bytes.first_chunk::<PREFIX>() {
                let end = PREFIX + length(*prefix)?;
                if let Some(message) = self.bytes.get(PREFIX..end) {
                    let message = serde_json::from_slice(message)?;
                    self.bytes.drain(..end);
                    return Ok(Some(message));
                }
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) => {
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed"));
                }
                Ok(read) => self.bytes.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte, then nothing, and so on.
    struct Trickle<'a>(&'a [u8], bool);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(ErrorKind::WouldBlock.into()) } else { self.0.read(&mut buffer[..1]) }
        }
    }

    #[test]
    fn messages_survive_being_cut_anywhere() {
        let mut bytes = Vec::new();
        send(&mut bytes, &"one").expect("it is short");
        send(&mut bytes, &vec![1, 2, 3]).expect("it is short");
        let mut whole = bytes.as_slice();
        assert_eq!(receive::<String>(&mut whole).expect("it is there"), "one");
        assert_eq!(receive::<Vec<u8>>(&mut whole).expect("it is there"), [1, 2, 3]);
        let mut frames = Frames::new(Trickle(&bytes, false));
        let mut silences = 0;
        let first = loop {
            match frames.next::<String>().expect("nothing is wrong with it") {
                Some(message) => break message,
                None => silences += 1,
            }
        };
        assert_eq!((first.as_str(), silences), ("one", PREFIX + 5));
        while frames.next::<Vec<u8>>().expect("nothing is wrong with it").is_none() {}
        let ended = loop {
            match frames.next::<String>() {
                Ok(None) => {}
                ended => break ended.expect_err("there is no other"),
            }
        };
        assert_eq!(ended.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let request = b"GET / HTTP/1.1\r\n\r\n";
        let error = receive::<String>(&mut request.as_slice()).expect_err("that is none");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let error = Frames::new(request.as_slice()).next::<String>().expect_err("that is none");
        assert!(error.to_string().contains("1195725856 bytes"), "{error}");
    }
}
