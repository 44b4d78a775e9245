//! The functions that the server runs, and which of them are in it.
//!
//! The name carries the version of what is stored: processes of two versions have two libraries, and neither
//! takes the other's away. Under one name the code that connects later counts.

/// The library. The server takes one text; its parts follow from each other in this order.
pub(super) const CODE: &str = concat!(
    include_str!("library/windows.lua"),
    include_str!("library/rows.lua"),
    include_str!("library/writing.lua"),
    include_str!("library/requests.lua"),
);

/// Its name.
pub(super) const NAME: &str = "tidegate_cache_1";

/// A function of the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Claim,
    Apply,
    Skip,
    Adopt,
    Seed,
    SetAsOf,
    Expire,
    Sizes,
    Read,
}

impl Function {
    fn name(self) -> &'static str {
        match self {
            Self::Claim => "tidegate_cache_1_claim",
            Self::Apply => "tidegate_cache_1_apply",
            Self::Skip => "tidegate_cache_1_skip",
            Self::Adopt => "tidegate_cache_1_adopt",
            Self::Seed => "tidegate_cache_1_seed",
            Self::SetAsOf => "tidegate_cache_1_set_as_of",
            Self::Expire => "tidegate_cache_1_expire",
            Self::Sizes => "tidegate_cache_1_sizes",
            Self::Read => "tidegate_cache_1_read",
        }
    }

    /// Whether it changes nothing.
    fn only_reads(self) -> bool {
        matches!(self, Self::Sizes | Self::Read)
    }

    /// The command that calls it, with what it takes after the prefix.
    pub(super) fn call(self, prefix: &str, arguments: &[&str]) -> redis::Cmd {
        let mut command = redis::cmd(if self.only_reads() { "FCALL_RO" } else { "FCALL" });
        let keys = ["state", "positions", "expiry", "kinds"];
        command.arg(self.name()).arg(keys.len());
        for key in keys {
            command.arg(format!("{prefix}tidegate:{key}"));
        }
        command.arg(prefix).arg(arguments);
        command
    }
}

/// The command that asks which code is in the server.
pub(super) fn list() -> redis::Cmd {
    let mut command = redis::cmd("FUNCTION");
    command.arg("LIST").arg("LIBRARYNAME").arg(NAME).arg("WITHCODE");
    command
}

/// Whether its answer says that it is this one.
pub(super) fn is_loaded(answer: &redis::Value) -> bool {
    match answer {
        redis::Value::BulkString(text) => text == CODE.as_bytes(),
        redis::Value::Array(items) => items.iter().any(is_loaded),
        redis::Value::Map(entries) => entries.iter().any(|(_, value)| is_loaded(value)),
        redis::Value::VerbatimString { text, .. } => text == CODE,
        _ => false,
    }
}

/// The command that puts this one there.
pub(super) fn load() -> redis::Cmd {
    let mut command = redis::cmd("FUNCTION");
    command.arg("LOAD").arg("REPLACE").arg(CODE);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_has_the_names_that_are_called() {
        assert!(CODE.starts_with(&format!("#!lua name={NAME}\n")));
        for function in [
            Function::Claim,
            Function::Apply,
            Function::Skip,
            Function::Adopt,
            Function::Seed,
            Function::SetAsOf,
            Function::Expire,
            Function::Sizes,
            Function::Read,
        ] {
            assert!(function.name().starts_with(NAME));
            assert!(CODE.contains(&format!("'{}'", function.name())), "{function:?}");
        }
    }
}
