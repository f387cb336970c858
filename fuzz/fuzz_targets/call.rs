//! Any message of a call is read or refused, and what is read has kept to all limits.

#![no_main]

use libfuzzer_sys::fuzz_target;

use tl_fuzz::FixedStamp;
use tl_model::Form;
use tl_model::limits::{BATCH_EVENTS_MAX, PAGE_EVENTS_MAX, SELECTION_PATTERNS_MAX};
use tl_wire::call::{read_problem, read_publish, read_read, read_subscribe};

fuzz_target!(|input: &[u8]| {
    for form in [Form::Json, Form::Protobuf] {
        if let Ok(publish) = read_publish(form, input, &FixedStamp) {
            assert!((1..=BATCH_EVENTS_MAX).contains(&publish.events.len()));
        }
        if let Ok(read) = read_read(form, input) {
            assert!((1..=PAGE_EVENTS_MAX).contains(&read.events_max));
            assert!(read.selection.patterns().len() <= SELECTION_PATTERNS_MAX);
        }
        // Both have the channels in the first field, and the place in the second.
        if let Ok((selection, _)) = read_subscribe(form, input) {
            assert!(selection.patterns().len() <= SELECTION_PATTERNS_MAX);
        }
    }
    read_problem("throughline.v1.Problem", input);
});
