//! Layers, faults in words, and the pages that are generated.

use std::collections::BTreeMap;

use tidegate_dataflow::settings::{JobSettings, SessionEnd, TimeSettings};

use super::*;

fn file(text: &str) -> Inputs {
    Inputs { file: Some(("tidegate.toml".to_owned(), text.to_owned())), ..Inputs::default() }
}

fn environment(variables: &[(&str, &str)]) -> Inputs {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Inputs { environment: variables.iter().map(owned).collect(), ..Inputs::default() }
}

fn flag(name: &str, key: &str, value: &str) -> Flag {
    Flag { name: name.to_owned(), key: key.to_owned(), value: value.to_owned() }
}

fn resolve(inputs: &Inputs) -> Loaded {
    inputs.resolve().unwrap_or_else(|error| panic!("{error}"))
}

fn faults(inputs: &Inputs) -> Vec<String> {
    inputs.resolve().expect_err("a fault").faults.iter().map(Fault::to_string).collect()
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = resolve(&Inputs::default()).config;
    assert_eq!(config.job_settings(), JobSettings::default());
    assert_eq!(config.time_settings(), TimeSettings::default());
    assert_eq!(config.import_time_settings(), TimeSettings { bound_ms: 600_000, ..TimeSettings::default() });
    assert_eq!((config.worker_threads(), config.tick_ms), (2, 100));
    let listeners = [
        config.ingest_listen,
        config.api_listen,
        config.dataflow_listen,
        config.dataflow_metrics_listen,
        config.sink_listen,
    ];
    let addresses = listeners.map(|at| at.address(config.listen_host).to_string());
    let expected = [8000, 8080, 8081, 9249, 8001].map(|port| format!("127.0.0.1:{port}"));
    assert_eq!((addresses, config.sink_health_listen), (expected, None));
    assert_eq!((config.cache_windows_kept, config.cache_hash_ttl_ms), (120, 21_600_000));
    assert_eq!((config.store_batch_rows, config.topic_partitions), (10_000, 6));
    assert_eq!(config.log_level, LogLevel::Info);
}

#[test]
fn the_defaults_are_those_of_the_parts() {
    let config = resolve(&Inputs::default()).config;
    let log = tidegate_log::embedded::Options::default();
    let runner = tidegate_runner::RunnerConfig::default();
    let bytes = |bytes: usize| u64::try_from(bytes).expect("a size");
    assert_eq!(config.topic_partitions, u64::from(log.partitions));
    assert_eq!(config.log_queue_bytes_max, bytes(log.queue_bytes_max));
    assert_eq!(config.log_batch_bytes_max, bytes(log.batch_bytes_max));
    assert_eq!(config.log_segment_bytes_max, log.segment_bytes_max);
    assert_eq!(config.log_total_bytes_max, log.total_bytes_max);
    assert_eq!(config.log_retention_ms, log.retention_ms);
    assert_eq!(config.tick_ms, runner.tick_ms);
    assert_eq!(config.in_flight_bytes_max, bytes(runner.in_flight_bytes_max));
    assert_eq!(config.provisional_rows_max, bytes(runner.provisional_rows_max));
}

#[test]
fn each_layer_overrides_the_one_before() {
    let mut inputs = file("workers = 3\n[jobs]\nsession_gap = \"10m\"\nevent_window = \"2m\"\n");
    let source_of = |inputs: &Inputs, key: &str| {
        let loaded = resolve(inputs);
        let effective = loaded.effective.into_iter().find(|e| e.key == key).expect("a key");
        (effective.shown.text, effective.source)
    };
    assert_eq!(source_of(&inputs, "workers"), ("3".into(), Source::File("tidegate.toml".into())));
    inputs.environment.insert("FLINK_PARALLELISM".into(), "4".into());
    assert_eq!(source_of(&inputs, "workers"), ("4".into(), Source::Environment("FLINK_PARALLELISM")));
    inputs.flags.push(flag("--set", "workers", "5"));
    inputs.flags.push(flag("--workers", "workers", "6"));
    assert_eq!(source_of(&inputs, "workers"), ("6".into(), Source::Flag("--workers".into())));
    assert_eq!(source_of(&inputs, "jobs.session_gap"), ("10m".into(), Source::File("tidegate.toml".into())));
    assert_eq!(source_of(&inputs, "jobs.session_window"), ("5m".into(), Source::Default));
    let config = resolve(&inputs).config;
    assert_eq!((config.workers, config.session_gap_ms, config.event_window_ms), (6, 600_000, 120_000));
}

#[test]
fn every_name_of_the_contract_is_honoured() {
    let variables = [
        ("KAFKA_BOOTSTRAP_SERVERS", "k1:9092,k2:9092", "kafka.bootstrap_servers", "k1:9092,k2:9092"),
        ("KAFKA_TOPIC_EVENTS", "e", "topics.events", "e"),
        ("PROCESSING_METRICS_WINDOW_SIZE_SECONDS", "30", "jobs.event_window", "30s"),
        ("PROCESSING_PERFORMANCE_WINDOW_SIZE_SECONDS", "31", "jobs.performance_window", "31s"),
        ("PROCESSING_SESSION_GAP_SECONDS", "32", "jobs.session_gap", "32s"),
        ("FLINK_WATERMARK_DELAY_SECONDS", "0", "time.watermark_bound", "0s"),
        ("FLINK_IDLE_TIMEOUT_SECONDS", "1500ms", "time.idle_timeout", "1s500ms"),
        ("FLINK_PARALLELISM", "8", "workers", "8"),
        ("PROCESSING_ALLOWED_EVENT_TYPES", r#"["a","b"]"#, "jobs.allowed_event_types", r#"["a","b"]"#),
        ("APP_ENVIRONMENT", "development", "time.mode", "processing_time"),
        ("CLICKHOUSE_HOST", "ch", "clickhouse.host", "ch"),
        ("CLICKHOUSE_PORT", "9001", "clickhouse.port", "9001"),
        ("CLICKHOUSE_DB", "db", "clickhouse.database", "db"),
        ("CLICKHOUSE_USER", "me", "clickhouse.user", "me"),
        ("CLICKHOUSE_PASSWORD", "secret", "clickhouse.password", "(hidden)"),
        ("STORAGE_BATCH_SIZE", "500", "store.batch_rows", "500"),
        ("REDIS_HOST", "r", "redis.host", "r"),
        ("REDIS_PORT", "6380", "redis.port", "6380"),
        ("REDIS_DB", "1", "redis.db", "1"),
        ("WINDOW_RETENTION_COUNT", "60", "cache.windows_kept", "60"),
        ("WINDOW_HASH_TTL_SECONDS", "60", "cache.hash_ttl", "1m"),
        ("APP_LOG_LEVEL", "WARNING", "log_level", "warn"),
        ("KAFKA_TOPIC_EVENT_METRICS", "em", "topics.event_metrics", "em"),
        ("KAFKA_TOPIC_SESSION_METRICS", "sm", "topics.session_metrics", "sm"),
        ("KAFKA_TOPIC_PERFORMANCE_METRICS", "pm", "topics.performance_metrics", "pm"),
        ("KAFKA_TOPIC_PARTITIONS", "12", "topics.partitions", "12"),
        ("PROCESSING_KAFKA_SCAN_STARTUP_MODE", "latest-offset", "topics.startup_mode", "latest-offset"),
        ("METRICS_PORT", "8002", "sink.listen", "8002"),
        ("HEALTH_PORT", "8003", "sink.health_listen", "8003"),
    ];
    let mut inputs = Inputs::default();
    for (name, value, _, _) in variables {
        inputs.environment.insert(name.to_owned(), value.to_owned());
    }
    let loaded = resolve(&inputs);
    let effective: BTreeMap<_, _> = loaded.effective.iter().map(|e| (&*e.key, e)).collect();
    for (name, _, key, expected) in variables {
        let found = effective[key];
        assert_eq!(
            (found.shown.text.as_str(), &found.source),
            (expected, &Source::Environment(name)),
            "{key}"
        );
    }
    let declared = SETTINGS.iter().flat_map(|s| s.settings).filter(|s| s.variable.is_some()).count();
    assert_eq!(declared, variables.len(), "no name goes untested");
    assert!(loaded.notices.is_empty(), "{:?}", loaded.notices);
    assert_eq!(loaded.config.clickhouse_password.reveal(), "secret");
}

#[test]
fn a_listener_takes_a_port_or_an_address_and_a_port() {
    let at = |value: &str| {
        let flags = vec![flag("--ingest-listen", "ingest.listen", value), flag("--set", "listen_host", "::")];
        let config = Inputs { flags, ..Inputs::default() }.resolve().map_err(|error| error.to_string())?;
        Ok::<_, String>(config.config.ingest_listen.address(config.config.listen_host).to_string())
    };
    assert_eq!(at("8000").as_deref(), Ok("[::]:8000"));
    assert_eq!(at("0").as_deref(), Ok("[::]:0"));
    assert_eq!(at("0.0.0.0:80").as_deref(), Ok("0.0.0.0:80"));
    assert_eq!(at("localhost:80").as_deref(), Ok("127.0.0.1:80"));
    for wrong in ["65536", "-1", "example.com:80", "127.0.0.1", ""] {
        let error = at(wrong).expect_err(wrong);
        assert!(
            error.starts_with(&format!("--ingest-listen = {wrong:?}: ingest.listen takes a port")),
            "{error}"
        );
    }
}

#[test]
fn app_environment_decides_between_event_and_processing_time() {
    for (value, mode, bound_ms) in [
        (None, TimeMode::Event, 10_000),
        (Some(""), TimeMode::Event, 10_000),
        (Some("production"), TimeMode::Event, 10_000),
        (Some("local"), TimeMode::Processing, 0),
    ] {
        let variables: Vec<_> = value.map(|value| ("APP_ENVIRONMENT", value)).into_iter().collect();
        let config = resolve(&environment(&variables)).config;
        assert_eq!((config.time_mode, config.time_settings().bound_ms), (mode, bound_ms), "{value:?}");
    }
}

#[test]
fn the_native_port_is_read_as_the_http_port_and_said() {
    let loaded = resolve(&environment(&[("CLICKHOUSE_PORT", "9000")]));
    assert_eq!(loaded.config.clickhouse_port, 8123);
    assert_eq!(
        loaded.notices,
        ["CLICKHOUSE_PORT=9000: 9000 is ClickHouse's native port; its HTTP port 8123 is used instead"]
    );
}

#[test]
fn settings_that_the_embedded_log_does_not_use_are_named_with_where_they_came_from() {
    let loaded = resolve(&environment(&[("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092"), ("REDIS_HOST", "redis")]));
    let said = loaded.without_effect().expect("two of them");
    for part in ["kafka.bootstrap_servers (KAFKA_BOOTSTRAP_SERVERS)", "redis.host (REDIS_HOST)", "no effect"]
    {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert_eq!(resolve(&environment(&[("FLINK_PARALLELISM", "3")])).without_effect(), None);
    let mut around_kafka = environment(&[("REDIS_HOST", "redis")]);
    around_kafka.flags.push(flag("--log", "log.url", "kafka://kafka:9092"));
    assert_eq!(resolve(&around_kafka).without_effect(), None);
}

#[test]
fn knobs_without_a_counterpart_are_named_as_unused() {
    let loaded = resolve(&environment(&[
        ("FLINK_CHECKPOINT_INTERVAL_SECONDS", "60"),
        ("PROCESSING_SESSION_GAP_SECOND", "60"),
        ("PATH", "/bin"),
    ]));
    assert_eq!(loaded.notices.len(), 2, "{:?}", loaded.notices);
    let [unused, misspelt] = [&loaded.notices[0], &loaded.notices[1]];
    assert!(
        unused.starts_with("FLINK_CHECKPOINT_INTERVAL_SECONDS is set but has no counterpart"),
        "{unused}"
    );
    assert!(misspelt.ends_with("did you mean PROCESSING_SESSION_GAP_SECONDS?"), "{misspelt}");
    assert_eq!(loaded.config.session_gap_ms, 1_800_000);
}

#[test]
fn a_bad_value_names_itself_and_what_is_allowed() {
    let cases = [
        (
            file("[jobs]\nevent_window = \"0s\"\n"),
            "tidegate.toml: jobs.event_window = \"0s\": jobs.event_window takes a duration with its unit (ms, s, m, h, d), from 1ms to 366d",
        ),
        (
            file("jobs.session_gap = 30\n"),
            "tidegate.toml: jobs.session_gap = 30: jobs.session_gap takes a duration with its unit (ms, s, m, h, d), from 1ms to 366d; write \"30s\" for seconds",
        ),
        (
            file("jobs.session_end = \"last\"\n"),
            "tidegate.toml: jobs.session_end = \"last\": jobs.session_end takes \"last_event\" or \"window_end\"",
        ),
        (
            file("jobs.allowed_event_types = [\"a\", 1]\n"),
            "tidegate.toml: jobs.allowed_event_types = [\"a\", 1]: jobs.allowed_event_types takes a list of 1 to 255 names such as [\"page_view\",\"click\"], none of them empty",
        ),
        (
            environment(&[("FLINK_PARALLELISM", "0")]),
            "FLINK_PARALLELISM = \"0\": workers takes a whole number from 1 to 256",
        ),
        (
            environment(&[("PROCESSING_SESSION_GAP_SECONDS", "-5")]),
            "PROCESSING_SESSION_GAP_SECONDS = \"-5\": jobs.session_gap takes a duration with its unit (ms, s, m, h, d), from 1ms to 366d",
        ),
        (
            environment(&[("REDIS_PORT", "tcp://10.0.0.1:6379")]),
            "REDIS_PORT = \"tcp://10.0.0.1:6379\": redis.port takes a port from 1 to 65535",
        ),
        (
            Inputs { flags: vec![flag("--base-url", "import.base_url", "ftp://x")], ..Inputs::default() },
            "--base-url = \"ftp://x\": import.base_url takes an http or https URL without query and fragment, such as https://shop.example",
        ),
    ];
    for (inputs, expected) in cases {
        assert_eq!(faults(&inputs), [expected]);
    }
}

#[test]
fn a_size_of_zero_is_refused_by_name_for_every_window() {
    for key in ["jobs.event_window", "jobs.performance_window", "jobs.session_window", "jobs.session_gap"] {
        for value in ["0s", "-1s", "0ms"] {
            let found = faults(&Inputs { flags: vec![flag("--set", key, value)], ..Inputs::default() });
            assert!(found[0].contains(key) && found[0].contains(value), "{found:?}");
        }
    }
}

#[test]
fn an_unknown_key_names_itself_and_what_may_have_been_meant() {
    for (text, expected) in [
        (
            "[jobs]\nevent_windw = \"1m\"\n",
            "tidegate.toml: unknown key jobs.event_windw; did you mean jobs.event_window?",
        ),
        ("session_gap = \"1m\"\n", "tidegate.toml: unknown key session_gap; did you mean jobs.session_gap?"),
        ("worker = 2\n", "tidegate.toml: unknown key worker; did you mean workers?"),
        ("[parrots]\nname = 2\n", "tidegate.toml: unknown key parrots; `tidegate config` lists every key"),
        (
            "[workers]\na = 2\n",
            "tidegate.toml: workers = { a = 2 }: workers takes a whole number from 1 to 256",
        ),
        ("jobs = 3\n", "tidegate.toml: unknown key jobs; `tidegate config` lists every key"),
    ] {
        assert_eq!(faults(&file(text)), [expected]);
    }
}

#[test]
fn every_fault_is_named_at_once_even_where_it_is_overridden() {
    let mut inputs = file("workers = 0\nparrots = 1\n");
    inputs.environment.insert("METRICS_PORT".into(), "http".into());
    inputs.flags.push(flag("--workers", "workers", "4"));
    assert_eq!(faults(&inputs).len(), 3);
}

#[test]
fn a_file_that_is_no_toml_says_where() {
    let found = faults(&file("workers = 2\n[jobs\n"));
    assert!(
        found[0].starts_with("tidegate.toml is no valid TOML") && found[0].contains("line 2"),
        "{found:?}"
    );
}

#[test]
fn the_password_is_shown_nowhere() {
    let loaded = resolve(&environment(&[("CLICKHOUSE_PASSWORD", "hunter2")]));
    let everything = [
        show::table(&loaded.effective),
        show::json(&loaded.effective),
        show::toml(&loaded.effective),
        format!("{loaded:?}"),
    ];
    assert!(everything.iter().all(|text| !text.contains("hunter2")));
}

#[test]
fn settings_of_the_kafka_client_are_shown_with_their_source_and_secrets_are_not() {
    let mut inputs = file(
        "[kafka]\n\"security.protocol\" = \"sasl_ssl\"\nsasl.password = \"hunter2\"\n\"linger.ms\" = 3\n\"sasl.mechanism\" = \"PLAIN\"\n",
    );
    inputs.flags.push(flag("--set", "kafka.linger.ms", "7"));
    inputs.flags.push(flag("--set", "kafka.ssl.key.password", "hunter2"));
    let loaded = resolve(&inputs);
    let of_client = |e: &&Effective| e.key.strip_prefix("kafka.").is_some_and(|name| name.contains('.'));
    let client = loaded.effective.iter().filter(of_client);
    let client: Vec<_> = client.map(|e| format!("{} {} {}", e.key, e.shown.text, e.source)).collect();
    assert_eq!(
        client,
        [
            "kafka.linger.ms 7 --set",
            "kafka.sasl.mechanism PLAIN tidegate.toml",
            "kafka.sasl.password (hidden) tidegate.toml",
            "kafka.security.protocol sasl_ssl tidegate.toml",
            "kafka.ssl.key.password (hidden) --set",
        ]
    );
    let table = show::table(&loaded.effective);
    let keys: Vec<&str> = table.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let at = |key| keys.iter().position(|it| *it == key).expect("a line");
    assert_eq!(at("kafka.linger.ms"), at("kafka.request_timeout") + 1, "after the others of Kafka");
    let text = show::toml(&loaded.effective);
    for line in
        ["\"linger.ms\" = \"7\"  # --set", "# \"sasl.password\" is set but not shown  # tidegate.toml"]
    {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    assert_eq!(text.matches("[kafka]").count(), 1);
    let mut again = resolve(&file(&text)).config.kafka_client;
    let mut before = loaded.config.kafka_client.clone();
    for secret in ["sasl.password", "ssl.key.password"] {
        assert!(before.remove(secret).is_some() && again.remove(secret).is_none());
    }
    assert_eq!(again, before, "what is shown reads back to the same");
    for text in [table, text, show::json(&loaded.effective), format!("{loaded:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    // Nothing uses them without Kafka.
    let said = loaded.without_effect().expect("five of them");
    assert!(said.contains("kafka.security.protocol (tidegate.toml)") && !said.contains("hunter2"), "{said}");
}

#[test]
fn the_configuration_as_a_file_reads_back_to_the_same() {
    let mut inputs = environment(&[("APP_ENVIRONMENT", "test"), ("FLINK_IDLE_TIMEOUT_SECONDS", "90")]);
    inputs.flags.push(flag("--set", "jobs.session_end", "window_end"));
    inputs.flags.push(flag("--set", "data_dir", "a \"quoted\\path\""));
    inputs.flags.push(flag("--set", "log.retention", "unset"));
    inputs.flags.push(flag("--set", "jobs.allowed_event_types", "b, a,b"));
    inputs.flags.push(flag("--set", "ingest.cors_origins", "https://a.example, http://b.example:81"));
    inputs.flags.push(flag("--set", "sink.listen", "0.0.0.0:1"));
    let loaded = resolve(&inputs);
    assert_eq!(loaded.config.session_end, SessionEnd::WindowEnd);
    assert_eq!(loaded.config.allowed_event_types, ["b", "a"]);
    let again = resolve(&file(&show::toml(&loaded.effective)));
    assert_eq!(again.config, loaded.config);
}

#[test]
fn the_table_shows_value_unit_and_source() {
    let loaded = resolve(&environment(&[("PROCESSING_SESSION_GAP_SECONDS", "600")]));
    let table = show::table(&loaded.effective);
    let line = table.lines().find(|line| line.starts_with("jobs.session_gap ")).expect("a line");
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(
        cells,
        ["jobs.session_gap", "10m", "duration", "environment", "PROCESSING_SESSION_GAP_SECONDS"]
    );
}

#[test]
fn programs_get_numbers_with_their_unit() {
    let loaded = resolve(&environment(&[("PROCESSING_SESSION_GAP_SECONDS", "600")]));
    let list: serde_json::Value = serde_json::from_str(&show::json(&loaded.effective)).expect("JSON");
    let gap =
        list.as_array().expect("a list").iter().find(|e| e["key"] == "jobs.session_gap").expect("a key");
    assert_eq!((gap["value"].as_i64(), gap["unit"].as_str()), (Some(600_000), Some("ms")));
    assert_eq!(gap["source"], "environment");
    assert_eq!(gap["source_name"], "PROCESSING_SESSION_GAP_SECONDS");
}

#[test]
fn keys_and_names_are_declared_once() {
    let all: Vec<_> = SETTINGS.iter().flat_map(|section| section.settings).collect();
    let keys: std::collections::BTreeSet<_> = all.iter().map(|setting| setting.key).collect();
    assert_eq!(keys.len(), all.len());
    let names: Vec<_> = all.iter().filter_map(|setting| setting.variable.map(|v| v.name)).collect();
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
}

#[test]
fn the_pages_in_docs_are_those_of_the_table() {
    let page = include_str!("../../docs/configuration.md");
    assert!(page == show::markdown(), "run: cargo run -- config --format markdown > docs/configuration.md");
    let example = include_str!("../../docs/tidegate.example.toml");
    let defaults = resolve(&Inputs::default());
    let expected = show::example(&defaults.effective);
    assert!(example == expected, "run: cargo run -- config --format example > docs/tidegate.example.toml");
    assert_eq!(resolve(&file(example)).config, defaults.config);
}
