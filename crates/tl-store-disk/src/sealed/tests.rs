use std::collections::BTreeMap;

use tl_model::{Epoch, Event, NewEvent};

use super::*;
use crate::format::{BATCH_HEADER_BYTES, BatchHeader, Extent, SegmentKind, write_record};
use crate::segments::segment_name;
use crate::simulation::SimulatedDisk;

/// A segment with events of these channels, one batch each, from offset 10 on.
fn segment(channels: &[&str]) -> (SimulatedDisk, Offset) {
    let disk = SimulatedDisk::new();
    let follows = Offset::new(10);
    let mut bytes = Vec::new();
    header(7).write(&mut bytes);
    let (mut end, mut last) = (follows, BTreeMap::new());
    for channel in channels {
        let previous = last.insert(*channel, end).unwrap_or(Offset::new(2));
        write_batch(&mut bytes, channel, end, previous);
        end = end.next();
    }
    let file = disk.create(&segment_name(3), 0).expect("creates");
    file.write_at(&bytes, 0).expect("writes");
    (disk, end)
}

fn header(generation: u64) -> SegmentHeader {
    let (epoch, follows, kind) = (Epoch::from_random(1 << 40), Offset::new(10), SegmentKind::Dense);
    SegmentHeader { epoch, number: 3, generation, follows, kind }
}

fn write_batch(out: &mut Vec<u8>, channel: &str, offset: Offset, previous: Offset) {
    let start = out.len();
    out.resize(start + BATCH_HEADER_BYTES, 0);
    let event = Event::builder(&offset.get().to_string(), "/s", "t").build().expect("legal");
    let new = NewEvent { channel: Channel::parse(channel).expect("channel"), event };
    let length = write_record(out, &new, offset, previous, 100 + offset.get()) as u32;
    let header = BatchHeader {
        generation: 7,
        length,
        count: 1,
        follows: offset,
        extent: Extent::Dense { first: offset },
        durable_to: offset,
        reserved_to: offset.plus(50),
    };
    out.resize(start + header.span(), 0);
    header.write(&mut out[start..]);
}

fn offsets(sealed: &Sealed, selection: &[&str]) -> Vec<u64> {
    let selection = Selection::parse(selection.iter().copied()).expect("selection");
    let numbers = sealed.select(&selection).expect("selects");
    let place = |number: u32| sealed.places_from(number).expect("reads")[0];
    numbers.into_iter().map(|number| place(number).offset.get()).collect()
}

fn open(disk: &SimulatedDisk, generation: u64) -> io::Result<Sealed> {
    Sealed::open(disk, &header(generation), disk.open(&segment_name(3))?)
}

const CHANNELS: [&str; 7] = ["b", "a.x", "a.y", "a.x", "b", "$sys", "a.x.deep"];

#[test]
fn a_selection_finds_its_events() {
    let (disk, end) = segment(&CHANNELS);
    let made = Sealed::make(&disk, 3, end).expect("is made");
    for sealed in [made, open(&disk, 7).expect("opens")] {
        assert_eq!(offsets(&sealed, &["a.x"]), [11, 13]);
        assert_eq!(offsets(&sealed, &["a.*"]), [11, 12, 13]);
        assert_eq!(offsets(&sealed, &["a.>", "b"]), [10, 11, 12, 13, 14, 16]);
        assert_eq!(offsets(&sealed, &["a.x", "a.*"]), [11, 12, 13], "nothing twice");
        assert_eq!(offsets(&sealed, &["*.deep", "c", "a"]), [0; 0]);
        assert_eq!(offsets(&sealed, &["*.*.deep"]), [16]);
        assert_eq!(offsets(&sealed, &[">"]), [10, 11, 12, 13, 14, 16], "nothing reserved");
        assert_eq!(offsets(&sealed, &["$sys"]), [15]);
        let behind = |offset| sealed.first_behind(Offset::new(offset)).expect("reads");
        assert_eq!((behind(9), behind(10), behind(16), behind(99)), (0, 1, 7, 7));
    }
}

#[test]
fn it_tells_what_the_segment_has_of_each_channel() {
    let (disk, end) = segment(&CHANNELS);
    let sealed = Sealed::make(&disk, 3, end).expect("is made");
    assert_eq!(sealed.reserved_to, Offset::new(66));
    let channels = sealed.channels().collect::<io::Result<Vec<_>>>().expect("reads").concat();
    let told = |entry: &ChannelEntry| {
        let (previous, last) = (entry.previous.get(), entry.last.get());
        (entry.name.clone(), entry.count(), previous, last, entry.logged_at_ms)
    };
    let told: Vec<_> = channels.iter().map(told).collect();
    let expected = [
        ("$sys".to_owned(), 1, 2, 15, 115),
        ("a.x".to_owned(), 2, 2, 13, 113),
        ("a.x.deep".to_owned(), 1, 2, 16, 116),
        ("a.y".to_owned(), 1, 2, 12, 112),
        ("b".to_owned(), 2, 2, 14, 114),
    ];
    assert_eq!(told, expected);
    let last = sealed.last_place(&channels[1]).expect("reads");
    assert_eq!((last.offset, u64::from(last.length) * 2), (Offset::new(13), channels[1].bytes));
}

#[test]
fn an_index_of_something_else_is_refused() {
    let (disk, end) = segment(&CHANNELS);
    assert!(open(&disk, 7).is_err(), "there is none");
    Sealed::make(&disk, 3, end).expect("is made");
    assert!(open(&disk, 8).is_err(), "an earlier use of the file");
    disk.damage(&index_name(3), |bytes| bytes[20] ^= 1);
    assert!(open(&disk, 7).is_err(), "damaged");
    let wrong_end = Sealed::make(&disk, 3, end.next());
    assert!(wrong_end.is_err(), "the segment does not end there");
}
