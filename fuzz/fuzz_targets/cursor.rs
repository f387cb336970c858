//! A text is a position's one cursor, or no position.

#![no_main]

use libfuzzer_sys::fuzz_target;

use tl_model::{After, Epoch, Offset, Position};

fuzz_target!(|text: &str| {
    check_text(text);
    if let Some((numbers, _)) = text.as_bytes().split_first_chunk::<16>() {
        check_position(u128::from_le_bytes(*numbers));
    }
});

fn check_text(text: &str) {
    let position = text.parse::<Position>();
    match text.parse::<After>() {
        Ok(After::Earliest) => assert_eq!(text, "earliest"),
        Ok(After::Latest) => assert_eq!(text, "latest"),
        Ok(After::Position(at)) => assert_eq!(position, Ok(at)),
        Err(error) => assert_eq!(position, Err(error)),
    }
    if let Ok(position) = position {
        assert_eq!(position.cursor().as_str(), text);
        assert_eq!(Epoch::try_from(position.epoch.get()), Ok(position.epoch));
    }
}

fn check_position(numbers: u128) {
    let epoch = Epoch::from_random(numbers as u64);
    let position = Position { epoch, offset: Offset::new((numbers >> 64) as u64) };
    assert_eq!(position.cursor().parse(), Ok(position));
}
