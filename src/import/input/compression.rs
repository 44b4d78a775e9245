//! Compression, told by a file's first bytes and not by its name.

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    /// Not at all.
    Plain,
    /// gzip, of one member or several.
    Gzip,
    /// Something that is not read: its name, and the command that prints the content.
    Other(&'static str, &'static str),
}

const MAGIC: [(&[u8], Compression); 6] = [
    (&[0x1f, 0x8b], Compression::Gzip),
    (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Other("zstd", "zstd -dc")),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], Compression::Other("xz", "xz -dc")),
    (b"BZh", Compression::Other("bzip2", "bzip2 -dc")),
    (&[0x04, 0x22, 0x4d, 0x18], Compression::Other("lz4", "lz4 -dc")),
    (b"PK\x03\x04", Compression::Other("zip", "unzip -p")),
];

impl Compression {
    /// What the first bytes of a file tell.
    pub(super) fn of(head: &[u8]) -> Self {
        MAGIC.iter().find(|(magic, _)| head.starts_with(magic)).map_or(Self::Plain, |(_, found)| *found)
    }
}
