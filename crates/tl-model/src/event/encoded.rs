//! The compact form of an event.
//!
//! ```text
//! version u8 │ data form u8 │ attributes length u32 │ attributes … │ data …
//!
//! attribute   tag u8 (1–7) │ length u16 │ text
//! extension   tag u8 (8)   │ name length u8 │ name │ kind u8 │ length u16 │ value
//! ```
//!
//! Numbers are little endian. Tags rise strictly, extensions are sorted by name, so one event has
//! one form.

use bytes::{BufMut, Bytes, BytesMut};

use super::{AttributeValue, DataForm, EventError};

/// A block that has been checked: reading it cannot fail.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Block(Bytes);

impl Block {
    pub(super) fn parse(bytes: Bytes) -> Result<Self, EventError> {
        check(&bytes).ok_or(EventError::Encoding)?;
        Ok(Self(bytes))
    }

    pub(super) fn bytes(&self) -> &Bytes {
        &self.0
    }

    pub(super) fn attribute(&self, wanted: Attribute) -> Option<&str> {
        self.items().find_map(|item| match item {
            Item::Attribute(attribute, text) if attribute == wanted => Some(text),
            _ => None,
        })
    }

    /// The attributes of CloudEvents itself, in the order of their tags.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (Attribute, &str)> {
        self.items().map_while(|item| match item {
            Item::Attribute(attribute, text) => Some((attribute, text)),
            Item::Extension(..) => None,
        })
    }

    pub(super) fn extensions(&self) -> impl Iterator<Item = (&str, AttributeValue<'_>)> {
        self.items().filter_map(|item| match item {
            Item::Extension(name, value) => Some((name, value)),
            Item::Attribute(..) => None,
        })
    }

    pub(super) fn data_form(&self) -> DataForm {
        form_of(self.0[1]).expect("checked")
    }

    pub(super) fn data(&self) -> Option<Bytes> {
        self.data_bytes().map(|data| self.0.slice_ref(data))
    }

    pub(super) fn data_bytes(&self) -> Option<&[u8]> {
        let start = HEADER_BYTES + attributes_len(&self.0).expect("checked");
        (self.data_form() != DataForm::Absent).then(|| &self.0[start..])
    }

    fn items(&self) -> Items<'_> {
        Items::of(&self.0).expect("checked")
    }
}

/// The attributes of CloudEvents itself, by their tag.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Attribute {
    Id = 1,
    Source = 2,
    Type = 3,
    Subject = 4,
    Time = 5,
    DataContentType = 6,
    DataSchema = 7,
}

impl Attribute {
    pub(super) const ALL: [Self; 7] = [
        Self::Id,
        Self::Source,
        Self::Type,
        Self::Subject,
        Self::Time,
        Self::DataContentType,
        Self::DataSchema,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Source => "source",
            Self::Type => "type",
            Self::Subject => "subject",
            Self::Time => "time",
            Self::DataContentType => "datacontenttype",
            Self::DataSchema => "dataschema",
        }
    }
}

/// Writes a block. The caller has checked every value and its length.
pub(super) struct Writer(BytesMut);

impl Writer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        let mut buffer = BytesMut::with_capacity(HEADER_BYTES + bytes);
        buffer.put_bytes(0, HEADER_BYTES);
        buffer[0] = VERSION;
        Self(buffer)
    }

    pub(super) fn attribute(&mut self, attribute: Attribute, text: &str) {
        self.0.put_u8(attribute as u8);
        self.text(text);
    }

    pub(super) fn extension(&mut self, name: &str, value: AttributeValue<'_>) {
        self.0.put_u8(EXTENSION_TAG);
        self.0.put_u8(name.len() as u8);
        self.0.put_slice(name.as_bytes());
        match value {
            AttributeValue::Boolean(value) => {
                self.0.put_u8(KIND_BOOLEAN);
                self.0.put_u16_le(1);
                self.0.put_u8(value.into());
            }
            AttributeValue::Integer(value) => {
                self.0.put_u8(KIND_INTEGER);
                self.0.put_u16_le(4);
                self.0.put_i32_le(value);
            }
            AttributeValue::String(value) => {
                self.0.put_u8(KIND_STRING);
                self.text(value);
            }
        }
    }

    /// Bytes of the attributes written so far.
    fn attributes_len(&self) -> usize {
        self.0.len() - HEADER_BYTES
    }

    pub(super) fn finish(mut self, form: DataForm, data: &[u8]) -> Block {
        let attributes_len = self.attributes_len() as u32;
        self.0[1] = form_byte(form);
        self.0[2..HEADER_BYTES].copy_from_slice(&attributes_len.to_le_bytes());
        self.0.put_slice(data);
        Block(self.0.freeze())
    }

    fn text(&mut self, text: &str) {
        self.0.put_u16_le(text.len() as u16);
        self.0.put_slice(text.as_bytes());
    }
}

enum Item<'a> {
    Attribute(Attribute, &'a str),
    Extension(&'a str, AttributeValue<'a>),
}

/// Walks the attributes. Ends early where the bytes make no sense; `check` notices.
struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Items<'a> {
    fn of(block: &'a [u8]) -> Option<Self> {
        let rest = block.get(HEADER_BYTES..)?.get(..attributes_len(block)?)?;
        Some(Self { rest })
    }

    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    fn sized(&mut self) -> Option<&'a [u8]> {
        let len = u16::from_le_bytes(self.take(2)?.try_into().ok()?);
        self.take(usize::from(len))
    }

    fn item(&mut self) -> Option<Item<'a>> {
        let tag = self.byte()?;
        if tag == EXTENSION_TAG {
            return self.extension();
        }
        let attribute = *Attribute::ALL.get(usize::from(tag.checked_sub(1)?))?;
        let text = std::str::from_utf8(self.sized()?).ok()?;
        Some(Item::Attribute(attribute, text))
    }

    fn extension(&mut self) -> Option<Item<'a>> {
        let name_len = self.byte()?;
        let name = std::str::from_utf8(self.take(usize::from(name_len))?).ok()?;
        let kind = self.byte()?;
        let value = self.sized()?;
        let value = match kind {
            KIND_BOOLEAN => match value {
                [0] => AttributeValue::Boolean(false),
                [1] => AttributeValue::Boolean(true),
                _ => return None,
            },
            KIND_INTEGER => AttributeValue::Integer(i32::from_le_bytes(value.try_into().ok()?)),
            KIND_STRING => AttributeValue::String(std::str::from_utf8(value).ok()?),
            _ => return None,
        };
        Some(Item::Extension(name, value))
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    /// Leaves what makes no sense where it is.
    fn next(&mut self) -> Option<Item<'a>> {
        let mut ahead = Items { rest: self.rest };
        let item = ahead.item()?;
        *self = ahead;
        Some(item)
    }
}

/// Whether the bytes are a block: every attribute reads, in order, and the required ones are there.
fn check(block: &[u8]) -> Option<()> {
    let form = form_of(*block.get(1)?)?;
    let data = block.get(HEADER_BYTES + attributes_len(block)?..)?;
    let mut items = Items::of(block)?;
    let mut last = None;
    let mut last_name = "";
    let mut required = 0;
    for item in items.by_ref() {
        match item {
            Item::Attribute(attribute, _) => {
                let in_order = last < Some(attribute) && last_name.is_empty();
                required += usize::from(attribute <= Attribute::Type);
                last = in_order.then_some(Some(attribute))?;
            }
            Item::Extension(name, _) => {
                last_name = (last_name < name).then_some(name)?;
            }
        }
    }
    let complete = items.rest.is_empty() && required == 3 && block[0] == VERSION;
    (complete && (form != DataForm::Absent || data.is_empty())).then_some(())
}

fn attributes_len(block: &[u8]) -> Option<usize> {
    let bytes = block.get(2..HEADER_BYTES)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
}

fn form_byte(form: DataForm) -> u8 {
    match form {
        DataForm::Absent => 0,
        DataForm::Binary => 1,
        DataForm::Json => 2,
        DataForm::JsonSpaced => 3,
        DataForm::Text => 4,
    }
}

fn form_of(byte: u8) -> Option<DataForm> {
    Some(match byte {
        0 => DataForm::Absent,
        1 => DataForm::Binary,
        2 => DataForm::Json,
        3 => DataForm::JsonSpaced,
        4 => DataForm::Text,
        _ => return None,
    })
}

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 6;
const EXTENSION_TAG: u8 = 8;
const KIND_BOOLEAN: u8 = 0;
const KIND_INTEGER: u8 = 1;
const KIND_STRING: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn block(attributes: &[&[u8]]) -> Bytes {
        let attributes = attributes.concat();
        let mut block = vec![VERSION, 0];
        block.extend_from_slice(&(attributes.len() as u32).to_le_bytes());
        block.extend_from_slice(&attributes);
        Bytes::from(block)
    }

    #[test]
    fn a_block_reads_whole_or_not_at_all() {
        let required: [&[u8]; 3] = [b"\x01\x01\x001", b"\x02\x02\x00/s", b"\x03\x01\x00t"];
        let is_block = |last: &[u8]| Block::parse(block(&[&required.concat(), last])).is_ok();
        assert!(is_block(b""));
        assert!(is_block(b"\x04\x02\x00ab"));
        assert!(!is_block(b"\x04\x02\x00\xff\xff"), "no UTF-8");
        assert!(!is_block(b"\x04\x02\x00a"), "cut off");
        assert!(is_block(b"\x08\x01x\x00\x01\x00\x01"));
        assert!(!is_block(b"\x08\x01x\x00\x01\x00\x02"), "neither true nor false");
        assert!(!is_block(b"\x08\x01x\x00\x02\x00\x01\x00"), "more than a boolean");
        assert!(!is_block(b"\x09"), "an unknown tag");
    }
}
