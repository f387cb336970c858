//! The binary form of an event: `throughline.v1.Event`, written by hand so that its JSON form can be
//! the CloudEvents one.

use buffa::bytes::Buf;
use buffa::encoding::{Tag, WireType, check_wire_type, skip_field_depth, varint_len};
use buffa::types::{
    decode_bytes_to_bytes, merge_string, put_len_delimited_header, put_shared_bytes_field,
    put_string_field,
};
use buffa::{DecodeContext, DecodeError, EncodeSink, Message, SizeCache, saturate_size};
use bytes::Bytes;

use tl_model::{LoggedEvent, Position};

use crate::draft::{Draft, ExtensionValue};
use crate::generated::throughline::v1::AttributeValue;
use crate::generated::throughline::v1::attribute_value::Value;

buffa::impl_default_instance!(Draft);

/// The fields of `event.proto` by number.
mod field {
    pub(super) const EXTENSIONS: u32 = 8;
    pub(super) const DATA: u32 = 9;
    pub(super) const CURSOR: u32 = 11;
    pub(super) const PREVIOUS: u32 = 12;
}

/// The part of a delivered event that is the same for every subscriber: all but the places.
pub(crate) fn body(logged: &LoggedEvent) -> Bytes {
    let channel = Some(logged.channel.as_str().to_owned());
    Draft { channel, ..Draft::from(&logged.event) }.encode_to_bytes()
}

/// What goes after the [`body`]: the places.
pub(crate) fn places(out: &mut Vec<u8>, at: Position, previous: Option<Position>) {
    put_string_field(field::CURSOR, &at.cursor(), out);
    if let Some(previous) = previous {
        put_string_field(field::PREVIOUS, &previous.cursor(), out);
    }
}

impl Draft {
    fn text(&self, number: u32) -> Option<&Option<String>> {
        Some(match number {
            1 => &self.id,
            2 => &self.source,
            3 => &self.event_type,
            4 => &self.subject,
            5 => &self.time,
            6 => &self.data_content_type,
            7 => &self.data_schema,
            10 => &self.channel,
            field::CURSOR => &self.cursor,
            field::PREVIOUS => &self.previous,
            _ => return None,
        })
    }

    fn text_mut(&mut self, number: u32) -> Option<&mut Option<String>> {
        Some(match number {
            1 => &mut self.id,
            2 => &mut self.source,
            3 => &mut self.event_type,
            4 => &mut self.subject,
            5 => &mut self.time,
            6 => &mut self.data_content_type,
            7 => &mut self.data_schema,
            10 => &mut self.channel,
            field::CURSOR => &mut self.cursor,
            field::PREVIOUS => &mut self.previous,
            _ => return None,
        })
    }

    /// The text fields that are set, in the order of their numbers.
    fn texts(&self) -> impl Iterator<Item = (u32, &str)> {
        (1..=field::PREVIOUS).filter_map(|number| Some((number, self.text(number)?.as_deref()?)))
    }

    fn merge_extension(
        &mut self,
        buf: &mut impl Buf,
        ctx: DecodeContext<'_>,
    ) -> Result<(), DecodeError> {
        let mut entry = ExtensionEntry::default();
        ctx.register_element_memory(size_of::<(String, ExtensionValue)>())?;
        entry.merge_length_delimited(buf, ctx)?;
        let value = match entry.value.value {
            Some(Value::Boolean(value)) => ExtensionValue::Boolean(value),
            Some(Value::Integer(value)) => ExtensionValue::Integer(value),
            Some(Value::String(value)) => ExtensionValue::String(value),
            None => return Ok(()),
        };
        self.extensions.push((entry.name, value));
        Ok(())
    }
}

impl Message for Draft {
    fn compute_size(&self, cache: &mut SizeCache) -> u32 {
        let texts = self.texts().map(|(_, text)| string_size(text)).sum::<u64>();
        let mut extensions = 0;
        for (name, value) in &self.extensions {
            let slot = cache.reserve();
            let size = ExtensionEntry::new(name, value).compute_size(cache);
            cache.set(slot, size);
            extensions += delimited_size(u64::from(size));
        }
        let data = self.data.as_ref().map_or(0, |data| delimited_size(data.len() as u64));
        saturate_size(texts + extensions + data)
    }

    fn write_to(&self, cache: &mut SizeCache, buf: &mut impl EncodeSink) {
        for (number, text) in self.texts() {
            put_string_field(number, text, buf);
        }
        for (name, value) in &self.extensions {
            let size = u64::from(cache.consume_next());
            put_len_delimited_header(field::EXTENSIONS, size, buf);
            ExtensionEntry::new(name, value).write_to(cache, buf);
        }
        if let Some(data) = &self.data {
            put_shared_bytes_field(field::DATA, data, buf);
        }
    }

    fn merge_field(
        &mut self,
        tag: Tag,
        buf: &mut impl Buf,
        ctx: DecodeContext<'_>,
    ) -> Result<(), DecodeError> {
        let number = tag.field_number();
        if let Some(text) = self.text_mut(number) {
            check_wire_type(tag, WireType::LengthDelimited)?;
            return merge_string(text.get_or_insert_default(), buf);
        }
        match number {
            field::EXTENSIONS => {
                check_wire_type(tag, WireType::LengthDelimited)?;
                self.merge_extension(buf, ctx)
            }
            field::DATA => {
                check_wire_type(tag, WireType::LengthDelimited)?;
                self.data = Some(decode_bytes_to_bytes(buf)?);
                Ok(())
            }
            _ => skip_field_depth(tag, buf, ctx.depth()),
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// An entry of the map `extensions`: a message of two fields, as every protobuf map.
#[derive(Clone, Debug, Default, PartialEq)]
struct ExtensionEntry {
    name: String,
    value: AttributeValue,
}

impl ExtensionEntry {
    fn new(name: &str, value: &ExtensionValue) -> Self {
        let value = match value {
            ExtensionValue::Boolean(value) => Value::Boolean(*value),
            ExtensionValue::Integer(value) => Value::Integer(*value),
            ExtensionValue::String(value) => Value::String(value.clone()),
        };
        Self { name: name.to_owned(), value: AttributeValue { value: Some(value) } }
    }
}

buffa::impl_default_instance!(ExtensionEntry);

impl Message for ExtensionEntry {
    fn compute_size(&self, cache: &mut SizeCache) -> u32 {
        let slot = cache.reserve();
        let value = self.value.compute_size(cache);
        cache.set(slot, value);
        saturate_size(string_size(&self.name) + delimited_size(u64::from(value)))
    }

    fn write_to(&self, cache: &mut SizeCache, buf: &mut impl EncodeSink) {
        put_string_field(1, &self.name, buf);
        put_len_delimited_header(2, u64::from(cache.consume_next()), buf);
        self.value.write_to(cache, buf);
    }

    fn merge_field(
        &mut self,
        tag: Tag,
        buf: &mut impl Buf,
        ctx: DecodeContext<'_>,
    ) -> Result<(), DecodeError> {
        match tag.field_number() {
            1 => {
                check_wire_type(tag, WireType::LengthDelimited)?;
                merge_string(&mut self.name, buf)
            }
            2 => {
                check_wire_type(tag, WireType::LengthDelimited)?;
                self.value.merge_length_delimited(buf, ctx)
            }
            _ => skip_field_depth(tag, buf, ctx.depth()),
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

fn string_size(text: &str) -> u64 {
    delimited_size(text.len() as u64)
}

/// A length-delimited field with a number below 16: tag, length and content.
fn delimited_size(len: u64) -> u64 {
    1 + varint_len(len) as u64 + len
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tl_model::{Channel, Epoch, Event, Offset};

    use super::*;

    fn draft() -> impl Strategy<Value = Draft> {
        let text = || prop::option::of("\\PC{0,20}");
        let value = prop_oneof![
            any::<bool>().prop_map(ExtensionValue::Boolean),
            any::<i32>().prop_map(ExtensionValue::Integer),
            "\\PC{0,20}".prop_map(ExtensionValue::String),
        ];
        let extensions = prop::collection::vec(("[a-z]{1,8}", value), 0..4);
        let data = prop::option::of(prop::collection::vec(any::<u8>(), 0..300));
        (text(), text(), text(), text(), extensions, data).prop_map(
            |(id, subject, cursor, channel, extensions, data)| Draft {
                id,
                subject,
                cursor,
                channel,
                extensions,
                data: data.map(Bytes::from),
                ..Draft::default()
            },
        )
    }

    proptest! {
        #[test]
        fn a_draft_survives_the_binary_form(draft in draft()) {
            let bytes = draft.encode_to_bytes();
            prop_assert_eq!(Draft::decode_from_slice(&bytes).expect("decodes"), draft);
        }

        #[test]
        fn any_bytes_decode_or_fail_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let _ = Draft::decode_from_slice(&bytes);
        }
    }

    #[test]
    fn body_and_places_together_are_an_event() {
        let event = Event::builder("1", "/s", "t").data(b"x").build().expect("legal");
        let channel = Channel::parse("a").expect("channel");
        let (offset, previous) = (Offset::new(2), Offset::new(1));
        let logged = LoggedEvent { offset, previous, logged_at_ms: 0, channel, event };
        let position = |offset| Position { epoch: Epoch::from_random(16), offset };
        let mut bytes = body(&logged).to_vec();
        places(&mut bytes, position(offset), Some(position(previous)));
        let received = Draft::decode_from_slice(&bytes).expect("decodes").receive();
        let received = received.expect("complete");
        assert_eq!(received.event, logged.event);
        assert_eq!((received.at, received.previous), (position(offset), Some(position(previous))));
    }
}
