//! What an event takes on the wire, in each form and packed.

use std::io::{Read, Write};

use tl_conformance::RunningServer;
use tl_model::Form;
use tl_wire::call;
use tl_wire::draft::Draft;
use tl_wire::generated::throughline::v1::{PublishRequest, ReadRequest};

use crate::figures::Figures;
use crate::publish::start_server;
use crate::tally::CHANNEL;
use crate::{Runs, transport};

/// Reads one event, and a page of them, in every form and coding.
pub(crate) fn run(_: &Runs) -> Figures {
    let server = start_server();
    publish(&server);
    let mut figures = Figures::default();
    for events in [1, EVENTS] {
        for form in [Form::Json, Form::Protobuf] {
            for coding in ["identity", "gzip", "zstd"] {
                let bytes = read(&server, events, form, coding) as f64 / f64::from(events);
                let name = format!("page of {events}, {}, {coding}: bytes an event", form.name());
                figures.note(name, bytes);
            }
        }
    }
    figures
}

/// Orders that differ as orders do.
fn publish(server: &RunningServer) {
    let order = |number: u32| {
        let data = format!(
            r#"{{"order":{},"customer":"c-{:06}","total":{}.{:02},"currency":"EUR","items":[{{"sku":"sku-{}","quantity":{}}}],"state":"placed"}}"#,
            100_000 + number,
            number * 7_919 % 999_983,
            number * 37 % 500,
            number * 13 % 100,
            number * 101 % 5_000,
            number % 5 + 1,
        );
        let data_content_type = Some("application/json".to_owned());
        let event_type = Some("order.placed".to_owned());
        Draft { data: Some(data.into()), data_content_type, event_type, ..Draft::default() }
    };
    let events = (0..EVENTS).map(order).collect();
    let request = PublishRequest { channel: CHANNEL.to_owned(), events, ..Default::default() };
    let message = call::encode(Form::Protobuf, &request);
    answer(server, "Publish", Form::Protobuf, "identity", &message);
}

fn read(server: &RunningServer, events: u32, form: Form, coding: &str) -> usize {
    let channels = vec![CHANNEL.to_owned()];
    let request = ReadRequest { channels, limit: events, ..Default::default() };
    answer(server, "Read", form, coding, &call::encode(form, &request))
}

/// Calls over Connect; returns the bytes of the answer.
fn answer(server: &RunningServer, method: &str, form: Form, coding: &str, message: &[u8]) -> usize {
    let codec = if form == Form::Json { "json" } else { "proto" };
    let mut stream = transport::connect(server.port());
    let head = format!(
        "POST /throughline.v1.EventService/{method} HTTP/1.1\r\nHost: localhost\r\n\
         Connection: close\r\nContent-Type: application/{codec}\r\nAccept-Encoding: {coding}\r\n\
         Content-Length: {}\r\n\r\n",
        message.len()
    );
    stream.write_all(&[head.as_bytes(), message].concat()).expect("the server takes it");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the server answers");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    let body = memchr::memmem::find(&answer, b"\r\n\r\n").expect("an end of the head") + 4;
    answer.len() - body
}

const EVENTS: u32 = 100;
