use super::*;

/// Loads a file with this text.
fn load(text: &str) -> Result<Config, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("throughline.toml");
    std::fs::write(&file, text).expect("writes");
    Config::load(Some(&file), Vec::new()).map_err(|error| error.to_string())
}

#[test]
fn an_empty_file_means_the_defaults() {
    assert_eq!(load(""), Ok(Config::default()));
    assert!(Config::default().listen.addresses.iter().all(|it| it.ip().is_loopback()));
}

#[test]
fn settings_are_read_as_people_write_them() {
    let config = load(
        r#"
        [listen]
        addresses = ["127.0.0.1:9000"]

        [store]
        directory = "/var/lib/throughline"
        segment_bytes = "16 MiB"

        [connections]
        heartbeat = "20s"
        age_max = "30min"
        streams_max = 10

        [[rules]]
        pattern = "chat.>"
        durability = "os"
        retention = { age = "7days", count = 1000, bytes = "1MiB" }

        [[rules]]
        pattern = "chat.*.typing"
        durability = "none"
        event_bytes_max = "1KiB"
        "#,
    );
    let config = config.expect("legal");
    assert_eq!(config.store.segment_bytes, ByteCount(16 * 1024 * 1024));
    assert_eq!(config.connections.heartbeat.0, Duration::from_secs(20));
    assert_eq!(config.connections.age_max, Some(HumanDuration(Duration::from_secs(1_800))));
    assert_eq!(config.connections.streams_max, 10);
    let channel = tl_model::Channel::parse("chat.a.typing").expect("channel");
    let rules = config.rules().of(&channel);
    assert_eq!(rules.durability, tl_model::Durability::None);
    assert_eq!(rules.event_bytes_max, 1024);
    assert_eq!(rules.retention.age, Some(Duration::from_secs(7 * 86_400)));
}

#[test]
fn schemas_are_asked_for_by_channel() {
    let config = load(
        r#"
        [[rules]]
        pattern = "orders.>"
        schemas = "required"

        [[rules]]
        pattern = "orders.raw"
        schema = "order"
        "#,
    );
    let rules = config.expect("legal").rules();
    let of = |name| rules.schema_of(&tl_model::Channel::parse(name).expect("channel")).clone();
    assert_eq!(of("orders.eu"), tl_model::SchemaRule::Required);
    assert_eq!(of("orders.raw"), tl_model::SchemaRule::Named("order".into()));
    assert_eq!(of("chat"), tl_model::SchemaRule::Known);
}

#[test]
fn mistakes_are_told_with_their_place() {
    let error = |text| load(text).expect_err("refused");
    assert!(error("[store]\ndirectry = \"x\"").contains("directry"));
    assert!(error("[connections]\nheartbeat = \"soon\"").contains("is not a time"));
    assert!(error("[connections]\nheartbeat = \"1ms\"").contains("at least 1s"));
    assert!(error("[connections]\nage_max = \"0s\"").contains("leave it out"));
    assert!(error("[connections]\nstreams_max = 0").contains("at least 1"));
    assert!(error("[store]\nsegment_bytes = \"lots\"").contains("64MiB"));
    assert!(error("[store]\nsegment_bytes = 1").contains("at least"));
    assert!(error("[store]\nsegment_bytes = \"5GiB\"").contains("at most"));
    assert!(error("[listen]\naddresses = []").contains("empty"));
    assert!(error("[listen]\naddresses = [\"everywhere\"]").contains("addresses"));
    assert!(error("[[rules]]\npattern = \"a..b\"").contains("`a..b`"));
    assert!(error("[[rules]]\npattern = \"a\"\nretention = { count = 0 }").contains("at least 1"));
    assert!(error("[[rules]]\npattern = \"a\"\nevent_bytes_max = \"1GB\"").contains("at most"));
    assert!(
        error("[[rules]]\npattern = \"a\"\nschemas = \"off\"\nschema = \"x\"").contains("exclude")
    );
    assert!(error("[[rules]]\npattern = \"a\"\nschemas = \"some\"").contains("required"));
    assert!(error("[[rules]]\npattern = \"$cfg.>\"\nretention = {}").contains("no retention"));
    assert!(error("nonsense").contains("nonsense") || !error("nonsense").is_empty());
}

#[test]
fn other_machines_are_served_only_if_an_operator_says_so() {
    let exposed = "[listen]\naddresses = [\"0.0.0.0:8080\"]\n";
    assert!(load(exposed).expect_err("refused").contains("allow_anonymous"));
    assert!(load(&format!("{exposed}allow_anonymous = true")).is_ok());
}

#[test]
fn flags_go_before_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("throughline.toml");
    std::fs::write(&file, "[store]\ndirectory = \"a\"\nkind = \"memory\"").expect("writes");
    let flags = vec![("store.directory".to_owned(), figment::value::Value::from("b"))];
    let config = Config::load(Some(&file), flags).expect("legal");
    assert_eq!(config.store.directory, PathBuf::from("b"));
    assert_eq!(config.store.kind, StoreKind::Memory);
}

#[test]
fn the_schema_speaks_of_every_setting() {
    let schema = serde_json::to_string(&Config::schema()).expect("JSON");
    for setting in ["addresses", "segment_bytes", "heartbeat", "wait_max", "retention", "grace"] {
        assert!(schema.contains(&format!("\"{setting}\"")), "{setting}");
    }
}
