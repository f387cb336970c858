//! Whether a message reads everything that another one reads, in both of its forms.

use std::collections::BTreeSet;

use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use crate::Reason;

/// Why the new message may refuse what the old one accepts; empty if it does not.
pub(super) fn reasons(old: &MessageDescriptor, new: &MessageDescriptor) -> Vec<Reason> {
    let mut comparison = Comparison::default();
    comparison.compare_messages(old, new);
    comparison.reasons
}

#[derive(Default)]
struct Comparison {
    reasons: Vec<Reason>,
    /// Messages can hold themselves.
    seen: BTreeSet<(String, String)>,
    /// Messages whose fields are still to be compared.
    waiting: Vec<(MessageDescriptor, MessageDescriptor)>,
}

impl Comparison {
    fn compare_messages(&mut self, old: &MessageDescriptor, new: &MessageDescriptor) {
        self.await_turn(old, new);
        while let Some((old, new)) = self.waiting.pop() {
            for field in old.fields() {
                self.compare_field(&field, &new);
            }
            for field in new.fields().filter(|it| it.is_required()) {
                if old.get_field(field.number()).is_none() {
                    self.refuse(&field, "a new field cannot be required");
                }
            }
        }
    }

    fn await_turn(&mut self, old: &MessageDescriptor, new: &MessageDescriptor) {
        let names = (old.full_name().to_owned(), new.full_name().to_owned());
        if self.seen.insert(names) {
            self.waiting.push((old.clone(), new.clone()));
        }
    }

    fn compare_field(&mut self, old: &FieldDescriptor, message: &MessageDescriptor) {
        let Some(new) = message.get_field(old.number()) else {
            let reason = match message.get_field_by_name(old.name()) {
                Some(new) => format!("its number was {}, and is {}", old.number(), new.number()),
                None => format!("the field with the number {} is gone", old.number()),
            };
            return self.refuse(old, &reason);
        };
        if new.name() != old.name() || new.json_name() != old.json_name() {
            let reason = format!("its name is `{}` now, which JSON goes by", new.name());
            return self.refuse(old, &reason);
        }
        if label(old) != label(&new) {
            let reason = format!("it was {}, and is {}", label(old), label(&new));
            return self.refuse(old, &reason);
        }
        let group = |field: &FieldDescriptor| {
            let group = field.containing_oneof().filter(|group| !group.is_synthetic());
            group.map(|group| group.name().to_owned())
        };
        if group(old) != group(&new) {
            return self.refuse(old, "it belongs to another `oneof`, or to none any more");
        }
        self.compare_kinds(old, &new);
    }

    fn compare_kinds(&mut self, old: &FieldDescriptor, new: &FieldDescriptor) {
        match (old.kind(), new.kind()) {
            (Kind::Message(old_message), Kind::Message(new_message)) => {
                if is_google(&old_message) != is_google(&new_message) {
                    let reason = format!("its type was {}", old_message.full_name());
                    return self.refuse(old, &reason);
                }
                if old_message.full_name() == ANY {
                    self.compare_all_messages(old, &old_message, &new_message);
                }
                self.await_turn(&old_message, &new_message);
            }
            (Kind::Enum(before), Kind::Enum(after)) => self.compare_enums(old, &before, &after),
            (before, after) if before == after => {}
            (before, after) => {
                let reason = format!("its type was {}, and is {}", name(&before), name(&after));
                self.refuse(old, &reason);
            }
        }
        if old.is_group() != new.is_group() {
            self.refuse(old, "a group and a message are not written alike");
        }
    }

    /// An `Any` can hold every message there is; its JSON form is read by the message's name.
    fn compare_all_messages(
        &mut self,
        field: &FieldDescriptor,
        old: &MessageDescriptor,
        new: &MessageDescriptor,
    ) {
        for held in old.parent_pool().all_messages() {
            match new.parent_pool().get_message_by_name(held.full_name()) {
                Some(kept) => self.await_turn(&held, &kept),
                None => {
                    let reason =
                        format!("the message {} that it can hold is gone", held.full_name());
                    self.refuse(field, &reason);
                }
            }
        }
    }

    fn compare_enums(
        &mut self,
        field: &FieldDescriptor,
        old: &EnumDescriptor,
        new: &EnumDescriptor,
    ) {
        for value in old.values() {
            let kept = new.get_value_by_name(value.name());
            if kept.is_none_or(|kept| kept.number() != value.number()) {
                let (name, number) = (value.name(), value.number());
                self.refuse(field, &format!("the value {name} = {number} is gone"));
            }
        }
    }

    fn refuse(&mut self, field: &FieldDescriptor, message: &str) {
        self.reasons.push(Reason::new(field.full_name(), message));
    }
}

/// Protobuf's own messages have JSON forms of their own, which hang on their names.
fn is_google(message: &MessageDescriptor) -> Option<String> {
    let name = message.full_name();
    name.starts_with(super::compile::GOOGLE).then(|| name.to_owned())
}

const ANY: &str = "google.protobuf.Any";

fn name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(values) => values.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}

fn label(field: &FieldDescriptor) -> &'static str {
    match field.cardinality() {
        Cardinality::Repeated if field.is_map() => "a map",
        Cardinality::Repeated => "repeated",
        Cardinality::Required => "required",
        Cardinality::Optional if field.supports_presence() => "optional",
        Cardinality::Optional => "singular",
    }
}
