//! A block is an event whose every part reads, or no event.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

use tl_model::{AttributeValue, Event};

fuzz_target!(|block: &[u8]| {
    let block = Bytes::copy_from_slice(block);
    let Ok(event) = Event::from_encoded(block.clone()) else { return };
    assert_eq!(event.encoded(), &block);
    assert!(event.data().is_none_or(|data| block.ends_with(&data)));
    let extensions: Vec<_> = event.extensions().collect();
    assert!(extensions.is_sorted_by(|(a, _), (b, _)| a < b), "{extensions:?}");
    // A block is not checked for what CloudEvents forbids; the builder does that.
    if let Ok(rebuilt) = rebuild(&event, &extensions) {
        check_rebuilt(&event, &rebuilt);
    }
});

fn rebuild(
    event: &Event,
    extensions: &[(&str, AttributeValue<'_>)],
) -> Result<Event, tl_model::EventError> {
    let data = event.data();
    let mut builder = Event::builder(event.id(), event.source(), event.event_type());
    if let Some(subject) = event.subject() {
        builder = builder.subject(subject);
    }
    if let Some(time) = event.time() {
        builder = builder.time(time);
    }
    if let Some(content_type) = event.data_content_type() {
        builder = builder.data_content_type(content_type);
    }
    if let Some(schema) = event.data_schema() {
        builder = builder.data_schema(schema);
    }
    for (name, value) in extensions {
        builder = builder.extension(name, *value);
    }
    if let Some(data) = &data {
        builder = builder.data(data);
    }
    builder.build()
}

/// The same parts give the same block, but for the form of the data, which a block only claims.
fn check_rebuilt(event: &Event, rebuilt: &Event) {
    assert_eq!(Event::from_encoded(rebuilt.encoded().clone()).as_ref(), Ok(rebuilt));
    if rebuilt.data_form() == event.data_form() {
        assert_eq!(rebuilt.encoded(), event.encoded());
    }
    assert_eq!(rebuilt.data(), event.data());
    assert!(rebuilt.extensions().eq(event.extensions()));
}
