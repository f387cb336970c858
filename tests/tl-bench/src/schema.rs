//! What it costs to check an event with the schema of its type.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use tl_engine::{Engine, NewSchema, Options, Publish, SchemaKind, SystemEnvironment};
use tl_model::{Call, Channel, Epoch, Event, NewEvent};
use tl_schema::{Encoding, Kind, Schema};
use tl_store::MemoryStore;

use crate::Runs;
use crate::figures::Figures;

/// Each in turn on one thread: first the checks alone, then publishing with nothing behind it.
pub(crate) fn run(runs: &Runs) -> Figures {
    let order = order().to_string();
    assert!((1_000..1_100).contains(&order.len()), "an order of 1 KiB, not {}", order.len());
    let time = Duration::from_secs(runs.seconds).div_f64(CASES);
    let mut figures = Figures::default();
    checks(&order, time, &mut figures);
    publishes(&order, time, &mut figures);
    figures
}

fn checks(order: &str, time: Duration, figures: &mut Figures) {
    let json = parse(Kind::JsonSchema, &schema().to_string());
    let proto = parse(Kind::Proto, PROTO);
    let broken = order.replace("\"EUR\"", "\"EURO\"");
    let read = |data: &str| serde_json::from_str::<Value>(data).expect("JSON");
    let bare = micros(time, || drop(black_box(read(black_box(order)))));
    let accepts = |schema: &Schema, data: &str| {
        assert!(schema.check(black_box(data).as_bytes(), Encoding::Json).is_ok());
    };
    let check = micros(time, || accepts(&json, order));
    figures.note("bare: reading the JSON into memory, µs", bare);
    figures.note("JSON Schema, µs", check);
    figures.note("JSON Schema: ratio to reading the JSON", check / bare);
    let refuses = || assert!(json.check(black_box(&broken).as_bytes(), Encoding::Json).is_err());
    figures.note("JSON Schema, refused and told why, µs", micros(time, refuses));
    figures.note("protobuf message, from JSON, µs", micros(time, || accepts(&proto, order)));
}

/// Ephemeral events for which nobody is there: all that is left is what every publish costs.
fn publishes(order: &str, time: Duration, figures: &mut Figures) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let entered = runtime.enter();
    let store = Arc::new(MemoryStore::new(Epoch::from_random(1)));
    let engine = Engine::start(store, Arc::new(SystemEnvironment), Options::default());
    drop(entered);
    let channel = Channel::parse("orders").expect("a channel");
    let event = Event::builder("1", "/bench", TYPE).data(order.as_bytes()).build().expect("legal");
    let event = NewEvent { channel, event };
    let publish = || publish(&runtime, &engine, &event);
    figures.note("publishing, no schema at all, µs", micros(time, publish));
    put(&runtime, &engine, "other");
    figures.note("publishing, a schema of another type, µs", micros(time, publish));
    put(&runtime, &engine, TYPE);
    figures.note("publishing, a schema of this type, µs", micros(time, publish));
}

fn publish(runtime: &Runtime, engine: &Engine, event: &NewEvent) {
    let events = vec![Ok(event.clone())];
    let publish = Publish { events, ephemeral: true, ..Publish::default() };
    let receipts = runtime.block_on(engine.publish(&Call::default(), publish));
    assert!(receipts.expect("answers")[0].is_ok());
}

fn put(runtime: &Runtime, engine: &Engine, event_type: &str) {
    let (event_type, source) = (event_type.to_owned(), Bytes::from(schema().to_string()));
    let new = NewSchema {
        event_type,
        kind: SchemaKind::JsonSchema,
        message: None,
        source,
        condition: None,
    };
    runtime.block_on(engine.put_schema(&Call::default(), new)).expect("puts");
}

fn parse(kind: Kind, source: &str) -> Schema {
    Schema::parse(kind, None, source.as_bytes()).expect("a schema")
}

/// Microseconds of one time, over as many as there is time for.
fn micros(time: Duration, mut once: impl FnMut()) -> f64 {
    let begun = Instant::now();
    let mut times = 0;
    while begun.elapsed() < time {
        (0..TIMES_BETWEEN_LOOKS).for_each(|_| once());
        times += TIMES_BETWEEN_LOOKS;
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(times)
}

fn order() -> Value {
    let line = |at: u32| {
        json!({"sku": format!("A-{at:05}"), "title": "A thing of some more use", "quantity": at + 1,
               "price": {"amount": 12.5, "currency": "EUR"}})
    };
    let address = json!({"name": "Ada Lovelace", "street": "12 St James's Square",
                         "postcode": "SW1Y 4JH", "city": "London", "country": "GB"});
    json!({"id": "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "state": "paid", "total": 131.25,
           "created": "2026-01-31T12:00:00Z", "customer": address, "tags": ["gift", "express"],
           "lines": (0..7).map(line).collect::<Vec<_>>()})
}

/// As strict as people write them.
fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["id", "state", "total", "created", "customer", "lines"],
        "additionalProperties": false,
        "properties": {
            "id": {"type": "string", "pattern": "^[0-9a-f-]{36}$"},
            "state": {"enum": ["new", "paid", "sent", "returned"]},
            "total": {"type": "number", "minimum": 0},
            "created": {"type": "string", "format": "date-time"},
            "customer": {"$ref": "#/$defs/address"},
            "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": true},
            "lines": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/line"}},
        },
        "$defs": {
            "address": {
                "type": "object",
                "required": ["name", "city", "country"],
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 200},
                    "country": {"type": "string", "pattern": "^[A-Z]{2}$"},
                },
                "additionalProperties": {"type": "string"},
            },
            "line": {
                "type": "object",
                "required": ["sku", "quantity", "price"],
                "properties": {
                    "sku": {"type": "string", "pattern": "^[A-Z]-[0-9]{5}$"},
                    "title": {"type": "string", "maxLength": 200},
                    "quantity": {"type": "integer", "minimum": 1},
                    "price": {
                        "type": "object",
                        "required": ["amount", "currency"],
                        "properties": {
                            "amount": {"type": "number", "minimum": 0},
                            "currency": {"type": "string", "minLength": 3, "maxLength": 3},
                        },
                    },
                },
            },
        },
    })
}

const PROTO: &str = "syntax = \"proto3\";
    message Order {
        string id = 1; string state = 2; double total = 3; string created = 4;
        Address customer = 5; repeated string tags = 6; repeated Line lines = 7;
        message Address { string name = 1; string street = 2; string postcode = 3;
                          string city = 4; string country = 5; }
        message Line { string sku = 1; string title = 2; uint32 quantity = 3; Price price = 4; }
        message Price { double amount = 1; string currency = 2; }
    }";
const TYPE: &str = "order.created";
/// What is measured, each for its share of the time.
const CASES: f64 = 7.0;
/// Looking at the clock takes a part of what is measured.
const TIMES_BETWEEN_LOOKS: u32 = 64;
