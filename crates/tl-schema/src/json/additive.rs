//! Whether a schema accepts everything that another one accepts.
//!
//! A schema is all of its keywords together, so the new one is gone through keyword by keyword, and
//! each must follow from something the old one demands of the same value. That proves less than is
//! true, and nothing that is false: what does not follow in this way is a reason to refuse.

mod arrays;
mod objects;
mod scalars;
mod types;

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use tl_model::limits::{
    SCHEMA_COMPARISON_NESTING_MAX, SCHEMA_COMPARISONS_MAX, SCHEMA_FINDINGS_MAX,
};

use super::graph::{address, resolve};
use super::keywords::{list, map};
use crate::Reason;
use types::{Types, values};

/// Why the new schema may refuse what the old one accepts; empty if it does not.
pub(super) fn reasons(old: &Value, new: &Value) -> Vec<Reason> {
    if old == new {
        return Vec::new();
    }
    let mut comparison = Comparison { known: names(old), ..Comparison::default() };
    let [old, new] = [old, new].map(|schema| Node { document: schema, schema, is_split: false });
    if comparison.compare(&[old], new, "") {
        return Vec::new();
    }
    comparison.reasons
}

/// A schema within the document that its references are about.
#[derive(Clone, Copy)]
struct Node<'a> {
    document: &'a Value,
    schema: &'a Value,
    /// Its alternatives are being looked at one by one.
    is_split: bool,
}

impl<'a> Node<'a> {
    fn part(self, schema: &'a Value) -> Self {
        Self { schema, is_split: false, ..self }
    }

    fn keyword(self, name: &str) -> Option<&'a Value> {
        self.schema.get(name)
    }

    fn part_at(self, name: &str) -> Option<Self> {
        self.keyword(name).map(|schema| self.part(schema))
    }

    /// The part of a map of schemas.
    fn part_in(self, name: &str, key: &str) -> Option<Self> {
        self.keyword(name)?.get(key).map(|schema| self.part(schema))
    }

    /// The schemas that hold together: this one, the one it refers to, and those of `allOf`.
    fn together(self) -> Vec<Self> {
        together(&[self])
    }

    fn alternatives(self) -> Option<impl Iterator<Item = Self>> {
        let held = self.keyword("anyOf").or_else(|| self.keyword("oneOf"))?;
        Some(list(held).map(move |schema| self.part(schema)))
    }
}

/// The schemas that hold together with these, each once.
fn together<'a>(nodes: &[Node<'a>]) -> Vec<Node<'a>> {
    let (mut together, mut waiting) = (Vec::new(), nodes.to_vec());
    let mut places = HashMap::new();
    waiting.reverse();
    while let Some(node) = waiting.pop() {
        let place = *places.entry(address(node.schema)).or_insert(together.len());
        if place < together.len() {
            let known: &mut Node<'_> = &mut together[place];
            known.is_split |= node.is_split;
            continue;
        }
        together.push(node);
        let reference = node.keyword("$ref").and_then(|it| resolve(node.document, it).ok());
        let all = node.keyword("allOf").into_iter().flat_map(list);
        waiting.extend(reference.into_iter().chain(all).map(|schema| node.part(schema)));
    }
    together
}

#[derive(Default)]
struct Comparison {
    reasons: Vec<Reason>,
    steps: usize,
    /// What is being compared right now. Meeting it again, further down in the data, adds nothing.
    open: Vec<(Vec<(usize, bool)>, usize)>,
    /// Every name of a property that the old version speaks of anywhere.
    known: BTreeSet<String>,
    /// How many alternatives or negations are around.
    conditions: usize,
    negations: usize,
}

impl Comparison {
    /// Whether all that the old schemas accept together is accepted by the new one. If not, the reasons
    /// are noted.
    fn compare(&mut self, old: &[Node<'_>], new: Node<'_>, path: &str) -> bool {
        let old = together(old);
        if is_anything(new.schema) || old.iter().any(|node| is_nothing(node.schema)) {
            return true;
        }
        let known = |node: &Node<'_>| (address(node.schema), node.is_split);
        let place = (old.iter().map(known).collect(), address(new.schema));
        if self.open.contains(&place) {
            return true;
        }
        self.steps += 1 + old.len();
        if self.steps > SCHEMA_COMPARISONS_MAX {
            return self.refuse(path, "the two versions are too large to be compared");
        }
        if self.open.len() >= SCHEMA_COMPARISON_NESTING_MAX {
            return self.refuse(path, "the two versions are too deep to be compared");
        }
        self.open.push(place);
        let noted = self.reasons.len();
        let mut is_additive = self.compare_keywords(&old, new, path);
        if !is_additive && self.steps <= SCHEMA_COMPARISONS_MAX {
            is_additive = self.compare_split(&old, new, path, noted);
        }
        self.open.pop();
        is_additive
    }

    fn compare_keywords(&mut self, old: &[Node<'_>], new: Node<'_>, path: &str) -> bool {
        let mut is_additive = true;
        let types = Types::of_all(old);
        for new in new.together() {
            match new.schema {
                Value::Object(keywords) => {
                    for name in keywords.keys() {
                        is_additive &= self.compare_keyword(old, types, new, name, path);
                    }
                }
                Value::Bool(false) => {
                    is_additive &= self.refuse(path, "nothing is accepted here any more");
                }
                _ => {}
            }
        }
        is_additive
    }

    fn compare_keyword(
        &mut self,
        old: &[Node<'_>],
        types: Types,
        new: Node<'_>,
        name: &str,
        path: &str,
    ) -> bool {
        if !types.intersects(Types::meant_by(name)) {
            return true;
        }
        match name {
            "type" | "enum" | "const" | "minimum" | "exclusiveMinimum" | "maximum"
            | "exclusiveMaximum" | "multipleOf" | "minLength" | "maxLength" | "minItems"
            | "maxItems" | "minProperties" | "maxProperties" | "uniqueItems" | "pattern" => {
                self.compare_scalar(old, types, new, name, path)
            }
            "required"
            | "properties"
            | "patternProperties"
            | "additionalProperties"
            | "propertyNames"
            | "dependentRequired"
            | "dependentSchemas" => self.compare_object(old, new, name, path),
            "prefixItems" | "items" | "contains" => self.compare_array(old, new, name, path),
            "anyOf" => self.compare_any(old, new, path),
            "oneOf" => self.compare_one(old, new, path),
            "not" => self.compare_not(old, new, path),
            "if" | "unevaluatedItems" | "unevaluatedProperties" => {
                self.compare_same(old, new, name, path)
            }
            // The others are looked at with these, or say nothing of what is accepted.
            _ => true,
        }
    }

    /// The same once more for each alternative of the old version, with what it alone demands.
    fn compare_split(&mut self, old: &[Node<'_>], new: Node<'_>, path: &str, noted: usize) -> bool {
        let is_whole = |node: &Node<'_>| !node.is_split && node.alternatives().is_some();
        let Some(at) = old.iter().position(is_whole) else { return false };
        let Some(alternatives) = old[at].alternatives() else { return false };
        self.reasons.truncate(noted);
        self.conditions += 1;
        let mut is_additive = true;
        for alternative in alternatives {
            let mut narrower = old.to_vec();
            narrower[at].is_split = true;
            narrower.push(alternative);
            is_additive &= self.compare(&narrower, new, path);
        }
        self.conditions -= 1;
        is_additive
    }

    fn compare_any(&mut self, old: &[Node<'_>], new: Node<'_>, path: &str) -> bool {
        let alternatives = new.keyword("anyOf").into_iter().flat_map(list);
        self.accepted_by_one(old, alternatives.map(|it| new.part(it)))
            || self.refuse(&format!("{path}/anyOf"), NO_ALTERNATIVE)
    }

    /// Exactly one of several is as good as any of them if no value is accepted by two.
    fn compare_one(&mut self, old: &[Node<'_>], new: Node<'_>, path: &str) -> bool {
        let held = new.keyword("oneOf").into_iter().flat_map(list);
        let alternatives: Vec<_> = held.map(|it| new.part(it)).collect();
        if is_same(old, new, &["oneOf"]) {
            return true;
        }
        let path = format!("{path}/oneOf");
        if !self.are_apart(&alternatives) {
            let message = "data could be accepted by two of these alternatives at once; write \
                           `anyOf`, or give each its own type or value of a required property";
            return self.refuse(&path, message);
        }
        self.accepted_by_one(old, alternatives.into_iter()) || self.refuse(&path, NO_ALTERNATIVE)
    }

    fn accepted_by_one<'a>(
        &mut self,
        old: &[Node<'_>],
        mut alternatives: impl Iterator<Item = Node<'a>>,
    ) -> bool {
        alternatives.any(|alternative| self.would_accept(old, alternative))
    }

    /// [`compare`](Self::compare) without noting reasons.
    fn would_accept(&mut self, old: &[Node<'_>], new: Node<'_>) -> bool {
        let noted = self.reasons.len();
        let is_additive = self.compare(old, new, "");
        self.reasons.truncate(noted);
        is_additive
    }

    fn are_apart(&mut self, alternatives: &[Node<'_>]) -> bool {
        let pairs = alternatives.iter().enumerate();
        let mut pairs =
            pairs.flat_map(|(at, one)| alternatives[at + 1..].iter().map(move |it| (one, it)));
        pairs.all(|(one, other)| {
            self.steps += 1;
            self.steps <= SCHEMA_COMPARISONS_MAX && types::are_apart(*one, *other)
        })
    }

    /// What the new version rejects must have been rejected before.
    fn compare_not(&mut self, old: &[Node<'_>], new: Node<'_>, path: &str) -> bool {
        let Some(rejected) = new.part_at("not") else { return true };
        self.negations += 1;
        let before: Vec<_> = old.iter().filter_map(|node| node.part_at("not")).collect();
        let is_additive = before.into_iter().any(|it| self.would_accept(&[rejected], it));
        self.negations -= 1;
        is_additive || self.refuse(&format!("{path}/not"), "more may be rejected than before")
    }

    /// What depends on everything around it is only compared word by word.
    fn compare_same(&mut self, old: &[Node<'_>], new: Node<'_>, name: &str, path: &str) -> bool {
        let is_kept = match name {
            "if" => is_same(old, new, &["if", "then", "else"]),
            _ => {
                new.keyword(name).is_some_and(is_anything)
                    || old.iter().any(|old| old.schema == new.schema && !has_references(new.schema))
            }
        };
        let message = format!("a change around `{name}` cannot be proved to be additive");
        is_kept || self.refuse(&format!("{path}/{name}"), &message)
    }

    /// Whether a property that the old version has not spoken of may be described.
    fn may_describe(&self, old: &[Node<'_>], name: &str) -> bool {
        let is_conditional =
            |node: &Node<'_>| CONDITIONAL.iter().any(|keyword| node.keyword(keyword).is_some());
        let is_plain = self.conditions == 0 && !old.iter().any(is_conditional);
        let is_described = old.iter().any(|node| node.keyword("properties").is_some());
        let says_something = |it: &Value| !is_anything(it) && !is_nothing(it);
        let is_spoken_of = |node: &Node<'_>| {
            values(node.schema).is_some()
                || node.keyword("unevaluatedProperties").is_some_and(says_something)
        };
        let is_open = !objects::is_required(old, name) && !old.iter().any(is_spoken_of);
        let is_unknown = is_open && (is_plain || !self.known.contains(name));
        self.negations == 0 && is_described && is_unknown
    }

    /// Notes a reason; false, so that it can be returned.
    fn refuse(&mut self, path: &str, message: &str) -> bool {
        let reason = Reason::new(path, message);
        if self.reasons.len() < REASONS_NOTED_MAX && !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
        false
    }
}

/// Whether one of the old schemas has the same under these names, and nothing in it refers elsewhere.
fn is_same(old: &[Node<'_>], new: Node<'_>, names: &[&str]) -> bool {
    let has_none = names.iter().all(|name| new.keyword(name).is_none_or(|it| !has_references(it)));
    let same = |old: &Node<'_>| names.iter().all(|name| old.keyword(name) == new.keyword(name));
    has_none && old.iter().any(same)
}

fn has_references(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_references),
        Value::Object(members) => {
            members.contains_key("$ref") || members.values().any(has_references)
        }
        _ => false,
    }
}

fn names(value: &Value) -> BTreeSet<String> {
    fn collect(value: &Value, names: &mut BTreeSet<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
            Value::Object(members) => {
                for keyword in ["properties", "dependentSchemas", "dependentRequired"] {
                    let held = members.get(keyword).into_iter().flat_map(map);
                    names.extend(held.map(|(name, _)| name.clone()));
                }
                members.values().for_each(|held| collect(held, names));
            }
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    collect(value, &mut names);
    names
}

fn is_anything(schema: &Value) -> bool {
    matches!(schema, Value::Bool(true)) || schema.as_object().is_some_and(Map::is_empty)
}

fn is_nothing(schema: &Value) -> bool {
    matches!(schema, Value::Bool(false))
}

/// A name as part of a JSON Pointer (RFC 6901 §3).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Keywords whose schemas may speak of the same object, but need not hold.
const CONDITIONAL: &[&str] = &["anyOf", "oneOf", "not", "if", "dependentSchemas"];
const NO_ALTERNATIVE: &str = "no alternative accepts all that was accepted before";
/// Some are given up again when alternatives are looked at one by one.
const REASONS_NOTED_MAX: usize = 4 * SCHEMA_FINDINGS_MAX;
