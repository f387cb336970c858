use tl_model::SchemaRule;

use super::*;
use crate::{NewSchema, PutSchema, SchemaKind};

const ORDER: &str = r#"{"type": "object", "required": ["total"],
                        "properties": {"total": {"type": "number"}}}"#;
const WIDER: &str = r#"{"type": "object", "properties": {"total": {"type": "number"}}}"#;
const NARROWER: &str = r#"{"type": "object", "required": ["total"],
                           "properties": {"total": {"type": "integer"}}}"#;

fn schema(event_type: &str, source: &str) -> NewSchema {
    let (event_type, source) = (event_type.to_owned(), source.to_owned().into());
    NewSchema { event_type, kind: SchemaKind::JsonSchema, message: None, source, condition: None }
}

async fn put(engine: &Engine, event_type: &str, source: &str) -> Result<PutSchema, Error> {
    engine.put_schema(&Call::default(), schema(event_type, source)).await
}

fn is_new(version: u32) -> Result<PutSchema, Error> {
    Ok(PutSchema { version, is_new: true })
}

fn typed(name: &str, event_type: &str, content_type: &str, data: &[u8]) -> NewEvent {
    let event = Event::builder("1", "/test", event_type).data_content_type(content_type);
    NewEvent { channel: channel(name), event: event.data(data).build().expect("legal") }
}

/// What becomes of an event with JSON.
async fn told(engine: &Engine, name: &str, event_type: &str, data: &str) -> String {
    let event = typed(name, event_type, "application/json", data.as_bytes());
    match publish(engine, events(vec![event])).await.remove(0) {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn data_that_breaks_its_schema_is_refused_with_the_place() {
    let engine = engine();
    assert_eq!(told(&engine, "a", "order", "{}").await, "ok");
    assert_eq!(put(&engine, "order", ORDER).await, is_new(1));
    assert_eq!(told(&engine, "a", "order", r#"{"total": 1.5}"#).await, "ok");
    assert_eq!(told(&engine, "a", "other", "{}").await, "ok");
    let refused = told(&engine, "a", "order", r#"{"total": "x"}"#).await;
    assert_eq!(
        refused,
        "schema_violated: schema `order`, version 1: /total: the value is not of type \"number\""
    );
    let refused = told(&engine, "a", "order", "{}").await;
    assert!(refused.ends_with("the data \"total\" is a required property"), "{refused}");
    let text = typed("a", "order", "text/plain", b"{}");
    let none = Event::builder("1", "/test", "order").build().expect("legal");
    let none = NewEvent { channel: channel("a"), event: none };
    for result in publish(&engine, events(vec![text, none])).await {
        assert_eq!(result.map_err(|error| error.code), Err(ErrorCode::SchemaViolated));
    }
}

#[tokio::test]
async fn the_checks_of_a_batch_are_bounded_together() {
    let engine = engine();
    // The second alternative counts, and is never looked at.
    let costly = vec![r#"{"minimum": 0}"#; 4_000].join(",");
    let costly = format!(r#"{{"items": {{"anyOf": [true, {{"allOf": [{costly}]}}]}}}}"#);
    assert_eq!(put(&engine, "list", &costly).await, is_new(1));
    let list = format!("[{}]", vec!["1"; 8_000].join(","));
    let list = || typed("a", "list", "application/json", list.as_bytes());
    let results = publish(&engine, events(vec![list(), list()])).await;
    let codes: Vec<_> = results.into_iter().map(|it| it.map(drop).map_err(|it| it.code)).collect();
    assert_eq!(codes, [Ok(()), Err(ErrorCode::BatchTooLarge)]);
    assert!(publish(&engine, events(vec![list()])).await.remove(0).is_ok(), "alone it may");
}

#[tokio::test]
async fn one_bad_event_of_a_batch_is_refused_and_an_atomic_batch_with_it() {
    let engine = engine();
    put(&engine, "order", ORDER).await.expect("puts");
    let good = || typed("a", "order", "application/json", br#"{"total": 1}"#);
    let batch = |atomic| Publish {
        atomic,
        ..events(vec![good(), typed("a", "order", "application/json", b"{}"), good()])
    };
    let codes = |results: Vec<Result<Receipt, Error>>| {
        let code = |it: Result<Receipt, Error>| it.err().map(|error| error.code);
        results.into_iter().map(code).collect::<Vec<_>>()
    };
    let logged = engine.stats().events;
    let bad = Some(ErrorCode::SchemaViolated);
    assert_eq!(codes(publish(&engine, batch(true)).await), [bad; 3]);
    assert_eq!(engine.stats().events, logged);
    assert_eq!(codes(publish(&engine, batch(false)).await), [None, bad, None]);
    let ephemeral = Publish { ephemeral: true, ..batch(false) };
    assert_eq!(codes(publish(&engine, ephemeral).await), [None, bad, None]);
}

#[tokio::test]
async fn a_version_is_new_or_the_same_or_refused_with_the_reason() {
    let engine = engine();
    assert_eq!(put(&engine, "order", ORDER).await, is_new(1));
    let same = PutSchema { version: 1, is_new: false };
    assert_eq!(put(&engine, "order", ORDER).await, Ok(same));
    let refused = put(&engine, "order", NARROWER).await.expect_err("refused");
    assert_eq!(refused.code, ErrorCode::SchemaIncompatible);
    assert!(
        refused.detail.contains("/properties/total/type: no longer accepted: number"),
        "{refused}"
    );
    let call = Call::default();
    let checked = engine.check_schema(&call, schema("order", WIDER)).await;
    assert_eq!(checked, is_new(2));
    assert_eq!(engine.schemas().len(), 1);
    assert_eq!(put(&engine, "order", WIDER).await, is_new(2));
    assert_eq!(told(&engine, "a", "order", "{}").await, "ok");
    for (version, text) in [(Some(1), ORDER), (Some(2), WIDER), (None, WIDER)] {
        let (_, source) = engine.schema(&call, "order", version).await.expect("is there");
        assert_eq!(source, text);
    }
    for (name, version) in [("order", Some(0)), ("order", Some(3)), ("other", None)] {
        let missing = engine.schema(&call, name, version).await.expect_err("is not there");
        assert_eq!(missing.code, ErrorCode::NotFound);
    }
    for (name, source) in [("order", "{"), ("", ORDER), ("a\nb", ORDER), (&"x".repeat(256), ORDER)]
    {
        let refused = put(&engine, name, source).await.expect_err("refused");
        assert_eq!(refused.code, ErrorCode::SchemaInvalid, "{name}");
    }
}

#[tokio::test]
async fn of_many_who_put_a_version_each_gets_one_of_its_own() {
    let engine = engine();
    let puts = (0..20).map(|at| {
        let engine = engine.clone();
        tokio::spawn(
            async move { put(&engine, "order", &format!("{{\"title\": \"{at}\"}}")).await },
        )
    });
    let puts: Vec<_> = puts.collect();
    let mut versions = Vec::new();
    for it in puts {
        versions.push(it.await.expect("ends").expect("puts").version);
    }
    versions.sort_unstable();
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn schemas_are_read_again_from_the_log() {
    let store: Arc<dyn LogStore> = Arc::new(MemoryStore::new(epoch()));
    let before = engine_on(store.clone(), Vec::new());
    put(&before, "order", ORDER).await.expect("puts");
    put(&before, "order", WIDER).await.expect("puts");
    put(&before, "other", ORDER).await.expect("puts");
    let after = engine_on(store, Vec::new());
    assert_eq!(told(&after, "a", "other", "{}").await, "ok", "nothing is known yet");
    after.load_schemas().await.expect("loads");
    assert_eq!(after.schemas(), before.schemas());
    assert!(told(&after, "a", "other", "{}").await.starts_with("schema_violated"));
    // The other one reads on before it decides.
    assert_eq!(put(&after, "order", "{}").await, is_new(3));
    assert_eq!(put(&before, "order", "true").await, is_new(4));
}

#[tokio::test]
async fn a_version_that_was_lost_does_not_let_data_through() {
    let intact: Arc<dyn LogStore> = Arc::new(MemoryStore::new(epoch()));
    let engine = engine_on(intact.clone(), Vec::new());
    put(&engine, "order", WIDER).await.expect("puts");
    put(&engine, "order", r#"{"type": ["object", "null"]}"#).await.expect("puts");
    let page = read(&engine, &["$cfg.schemas"], After::Earliest).await.expect("reads");
    let (lossy, last) = (MemoryStore::new(epoch()), page.events[1].clone());
    let events = vec![
        typed("$cfg.schemas", "strange", "text/plain", b""),
        NewEvent { channel: last.channel, event: last.event },
    ];
    let batch = tl_store::Batch { durability: Durability::Fsync, logged_at_ms: 0, events };
    lossy.append(batch).await.expect("appends");
    let engine = engine_on(Arc::new(lossy), Vec::new());
    engine.load_schemas().await.expect("loads");
    assert!(told(&engine, "a", "order", "17").await.contains("version 2"));
    assert_eq!(put(&engine, "order", "true").await, is_new(3));
}

#[tokio::test]
async fn nobody_else_writes_schemas() {
    let engine = engine();
    let event = typed("$cfg.schemas", "throughline.schema", "application/schema+json", b"{}");
    let results = publish(&engine, events(vec![event])).await;
    assert_eq!(results[0].as_ref().map_err(|it| it.code), Err(ErrorCode::ChannelReserved));
}

#[tokio::test]
async fn rules_say_which_schema_holds_where() {
    let rule = |pattern, rule| (Pattern::parse(pattern).expect("pattern"), rule);
    let rules = Rules::default().with_schemas(vec![
        rule("strict.>", SchemaRule::Required),
        rule("raw", SchemaRule::Off),
        rule("orders", SchemaRule::Named("order".into())),
    ]);
    let store = Arc::new(MemoryStore::new(epoch()));
    let engine =
        Engine::start(store, Arc::new(SystemEnvironment), Options { rules, ..Options::default() });
    let missing = told(&engine, "orders", "x", "{}").await;
    assert!(missing.starts_with("schema_required: orders takes only"), "{missing}");
    put(&engine, "order", ORDER).await.expect("puts");
    assert!(told(&engine, "orders", "x", "{}").await.starts_with("schema_violated"));
    assert!(told(&engine, "strict.a", "x", "{}").await.starts_with("schema_required"));
    assert!(told(&engine, "strict.a", "order", "{}").await.starts_with("schema_violated"));
    assert_eq!(told(&engine, "strict.a", "order", r#"{"total": 1}"#).await, "ok");
    assert_eq!(told(&engine, "raw", "order", "{}").await, "ok");
    let deleted = tl_model::AttributeValue::Boolean(true);
    let tombstone = Event::builder("1", "/test", "order").extension(tl_model::TOMBSTONE, deleted);
    let event = tombstone.build().expect("legal");
    let tombstone = NewEvent { channel: channel("strict.a"), event };
    assert!(publish(&engine, events(vec![tombstone])).await[0].is_ok(), "what is gone has no form");
}

#[tokio::test]
async fn protobuf_is_checked_by_its_media_type() {
    let engine = engine();
    let source = "syntax = \"proto3\"; message Order { int64 total = 1; }".into();
    let new = NewSchema {
        event_type: "order".to_owned(),
        kind: SchemaKind::Proto,
        message: None,
        source,
        condition: None,
    };
    engine.put_schema(&Call::default(), new).await.expect("puts");
    assert_eq!(engine.schemas()[0].message.as_deref(), Some("Order"));
    let codes = [
        ("application/protobuf", &b"\x08\x01"[..], None),
        ("application/x-protobuf", b"\x10\x01", Some(ErrorCode::SchemaViolated)),
        ("application/json", br#"{"total": "1"}"#, None),
        ("application/octet-stream", b"\x08\x01", Some(ErrorCode::SchemaViolated)),
    ];
    for (content_type, data, code) in codes {
        let event = typed("a", "order", content_type, data);
        let result = publish(&engine, events(vec![event])).await.remove(0);
        assert_eq!(result.err().map(|error| error.code), code, "{content_type}");
    }
}
