//! Settings of librdkafka's, `kafka.<its name>`: how they are shown. What they mean is for librdkafka to say.
//!
//! A value is hidden unless it surely is no secret: a name may be misspelt, and its value is one all the same.

use super::kind::{Hidden, Kind as _, Secret, Shown, quote, words};

/// Where librdkafka's names of secrets begin.
const PREFIXES: [&str; 2] = ["sasl.", "ssl."];

/// Names that begin so, and whose values may be seen.
const HARMLESS: [&str; 22] = [
    "sasl.kerberos.keytab",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.grant.type",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "ssl.ca.certificate.stores",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.engine.location",
    "ssl.keystore.location",
    "ssl.providers",
    "ssl.sigalgs.list",
];

/// Whatever has one of these in its name is hidden, wherever it stands.
const WORDS: [&str; 6] = ["passphrase", "password", "private", "secret", "token", "credential"];

/// Shows a setting, by librdkafka's name.
pub(super) fn show(name: &str, value: &Hidden) -> Shown {
    if is_secret(name) {
        return Secret.show(value);
    }
    let value = value.reveal();
    // One line, whatever it is.
    let text = if value.contains(char::is_control) { quote(value) } else { value.to_owned() };
    Shown { text, ..words(value) }
}

fn is_secret(name: &str) -> bool {
    let begins = PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    (begins && !HARMLESS.contains(&name)) || WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_librdkafka_calls_sensitive_is_hidden_and_so_is_what_looks_like_it() {
        for name in [
            "sasl.oauthbearer.assertion.private.key.file",
            "sasl.oauthbearer.assertion.private.key.passphrase",
            "sasl.oauthbearer.assertion.private.key.pem",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.config",
            "sasl.password",
            "sasl.username",
            "ssl.ca.pem",
            "ssl.key.location",
            "ssl.key.password",
            "ssl.key.pem",
            "ssl.keystore.password",
            // These are misspelt.
            "sasl.pasword",
            "sals.password",
        ] {
            let shown = show(name, &Hidden::new("hunter2".to_owned()));
            assert_eq!((shown.text.as_str(), shown.toml), ("(hidden)", None), "{name}");
            assert_eq!(shown.json, "(hidden)", "{name}");
        }
        for name in ["security.protocol", "linger.ms", "sasl.mechanism", "ssl.ca.location"] {
            assert_eq!(show(name, &Hidden::new("a\"b".to_owned())).text, "a\"b", "{name}");
        }
        assert_eq!(show("ssl.certificate.pem", &Hidden::new("a\nb".to_owned())).text, r#""a\nb""#);
    }
}
