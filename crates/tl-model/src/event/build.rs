use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::encoded::{Attribute, Writer};
use super::{AttributeValue, DataForm, Event, EventError, ExtensionName};
use crate::limits::{EVENT_ATTRIBUTES_BYTES_MAX, EVENT_EXTENSIONS_MAX};

/// Collects the parts of an event; [`build`](Self::build) checks them all and copies them once.
#[derive(Clone, Debug)]
pub struct EventBuilder<'a> {
    attributes: [Option<&'a str>; 7],
    extensions: Vec<(&'a str, AttributeValue<'a>)>,
    data: Option<&'a [u8]>,
}

impl<'a> EventBuilder<'a> {
    pub(super) fn new(id: &'a str, source: &'a str, event_type: &'a str) -> Self {
        let attributes = [Some(id), Some(source), Some(event_type), None, None, None, None];
        Self { attributes, extensions: Vec::new(), data: None }
    }

    /// What it happened to.
    #[must_use]
    pub fn subject(self, subject: &'a str) -> Self {
        self.with(Attribute::Subject, subject)
    }

    /// When it happened, as RFC 3339 text; kept exactly as given.
    #[must_use]
    pub fn time(self, time: &'a str) -> Self {
        self.with(Attribute::Time, time)
    }

    /// The media type of the data.
    #[must_use]
    pub fn data_content_type(self, content_type: &'a str) -> Self {
        self.with(Attribute::DataContentType, content_type)
    }

    /// The schema of the data.
    #[must_use]
    pub fn data_schema(self, schema: &'a str) -> Self {
        self.with(Attribute::DataSchema, schema)
    }

    /// One extension attribute.
    #[must_use]
    pub fn extension(mut self, name: &'a str, value: AttributeValue<'a>) -> Self {
        self.extensions.push((name, value));
        self
    }

    /// The data.
    #[must_use]
    pub fn data(mut self, data: &'a [u8]) -> Self {
        self.data = Some(data);
        self
    }

    /// Checks everything and makes the event.
    pub fn build(mut self) -> Result<Event, EventError> {
        self.extensions.sort_unstable_by_key(|(name, _)| *name);
        self.check()?;
        let content_type = self.attributes[Attribute::DataContentType as usize - 1];
        let form = self.data.map_or(DataForm::Absent, |data| DataForm::of(content_type, data));
        let data = self.data.unwrap_or_default();
        let mut writer = Writer::with_capacity(self.attributes_cost() + data.len());
        for attribute in Attribute::ALL {
            if let Some(text) = self.attributes[attribute as usize - 1] {
                writer.attribute(attribute, text);
            }
        }
        for (name, value) in &self.extensions {
            writer.extension(name, *value);
        }
        Ok(Event(writer.finish(form, data)))
    }

    fn with(mut self, attribute: Attribute, text: &'a str) -> Self {
        self.attributes[attribute as usize - 1] = Some(text);
        self
    }

    fn check(&self) -> Result<(), EventError> {
        if self.extensions.len() > EVENT_EXTENSIONS_MAX {
            return Err(EventError::TooManyExtensions);
        }
        if self.attributes_cost() > EVENT_ATTRIBUTES_BYTES_MAX {
            return Err(EventError::TooLarge);
        }
        for attribute in Attribute::ALL {
            if let Some(text) = self.attributes[attribute as usize - 1] {
                check_attribute(attribute, text)?;
            }
        }
        let mut previous = "";
        for (name, value) in &self.extensions {
            check_extension(name, *value)?;
            if *name == previous {
                return Err(EventError::DuplicateName((*name).to_owned()));
            }
            previous = name;
        }
        Ok(())
    }

    /// An upper bound of what the attributes take in the block.
    fn attributes_cost(&self) -> usize {
        let attributes = self.attributes.iter().flatten().map(|text| 3 + text.len());
        let extensions = self.extensions.iter().map(|(name, value)| match value {
            AttributeValue::String(text) => 5 + name.len() + text.len(),
            AttributeValue::Boolean(_) | AttributeValue::Integer(_) => 9 + name.len(),
        });
        attributes.sum::<usize>() + extensions.sum::<usize>()
    }
}

fn check_attribute(attribute: Attribute, text: &str) -> Result<(), EventError> {
    if text.is_empty() {
        return Err(EventError::Empty(attribute.name().to_owned()));
    }
    check_text(attribute.name(), text)?;
    if attribute == Attribute::Time && OffsetDateTime::parse(text, &Rfc3339).is_err() {
        return Err(EventError::Time);
    }
    Ok(())
}

fn check_extension(name: &str, value: AttributeValue<'_>) -> Result<(), EventError> {
    ExtensionName::parse(name)?;
    match value {
        AttributeValue::String(text) => check_text(name, text),
        AttributeValue::Boolean(_) | AttributeValue::Integer(_) => Ok(()),
    }
}

fn check_text(name: &str, text: &str) -> Result<(), EventError> {
    if text.chars().any(char::is_control) {
        return Err(EventError::ControlCharacter(name.to_owned()));
    }
    Ok(())
}
