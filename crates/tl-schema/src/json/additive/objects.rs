//! Objects and their properties.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::super::keywords::{list, map};
use super::{Comparison, Node, escaped, is_anything};

impl Comparison {
    pub(super) fn compare_object(
        &mut self,
        old: &[Node<'_>],
        new: Node<'_>,
        name: &str,
        path: &str,
    ) -> bool {
        match name {
            "required" => self.compare_required(old, new, path),
            "properties" => self.compare_properties(old, new, path),
            "patternProperties" => self.compare_patterns(old, new, path),
            "additionalProperties" => self.compare_additional(old, new, path),
            "propertyNames" => self.compare_names(old, new, path),
            "dependentRequired" => self.compare_dependent_required(old, new, path),
            _ => self.compare_dependent_schemas(old, new, path),
        }
    }

    fn compare_required(&mut self, old: &[Node<'_>], new: Node<'_>, path: &str) -> bool {
        let mut is_additive = true;
        for name in new.keyword("required").into_iter().flat_map(list).filter_map(Value::as_str) {
            if !is_required(old, name) {
                let message = format!("the property `{name}` was not required before");
                is_additive &= self.refuse(&format!("{path}/required"), &message);
            }
        }
        is_additive
    }

    fn compare_properties(&mut self, old: &[Node<'_>], new: Node<'_>, path: &str) -> bool {
        let mut is_additive = true;
        for (name, schema) in new.keyword("properties").into_iter().flat_map(map) {
            let described = described(old, name);
            let is_open = described.is_empty()
                && old.iter().all(|node| node.keyword("patternProperties").is_none());
            if !(is_open && self.may_describe(old, name)) {
                let path = format!("{path}/properties/{}", escaped(name));
                is_additive &= self.compare(&described, new.part(schema), &path);
            }
        }
        is_additive
    }

    fn compare_patterns(&mut self, old: &[Node<'_>], new: Node<'_>, path: &str) -> bool {
        let mut is_additive = true;
        for (pattern, schema) in new.keyword("patternProperties").into_iter().flat_map(map) {
            let before = old.iter().filter_map(|it| it.part_in("patternProperties", pattern));
            let before: Vec<_> = before.collect();
            let path = format!("{path}/patternProperties/{}", escaped(pattern));
            is_additive &= match before.is_empty() && !is_anything(schema) {
                true => self.refuse(&path, "nothing was demanded of these properties before"),
                false => self.compare(&before, new.part(schema), &path),
            };
        }
        is_additive
    }

    /// One of the old schemas must demand as much of every property that the new one does not name.
    fn compare_additional(&mut self, old: &[Node<'_>], new: Node<'_>, path: &str) -> bool {
        let Some(rest) = new.part_at("additionalProperties") else { return true };
        let closed: Vec<_> =
            old.iter().filter(|node| node.keyword("additionalProperties").is_some()).collect();
        let path = format!("{path}/additionalProperties");
        let Some((last, others)) = closed.split_last() else {
            return is_anything(rest.schema)
                || self.refuse(&path, "any other property was accepted before");
        };
        for node in others {
            let noted = self.reasons.len();
            if self.compare_rest(old, **node, new, rest, &path) {
                return true;
            }
            self.reasons.truncate(noted);
        }
        self.compare_rest(old, **last, new, rest, &path)
    }

    fn compare_rest(
        &mut self,
        old: &[Node<'_>],
        closed: Node<'_>,
        new: Node<'_>,
        rest: Node<'_>,
        path: &str,
    ) -> bool {
        let mut is_additive = true;
        for (name, _) in closed.keyword("properties").into_iter().flat_map(map) {
            if new.part_in("properties", name).is_none() {
                let before = described(old, name);
                if !self.would_accept(&before, rest) {
                    let message = format!(
                        "the property `{name}` is no longer described, and not accepted without"
                    );
                    is_additive &= self.refuse(path, &message);
                }
            }
        }
        for (pattern, schema) in closed.keyword("patternProperties").into_iter().flat_map(map) {
            if new.part_in("patternProperties", pattern).is_none() {
                is_additive &= self.compare(&[closed.part(schema)], rest, path);
            }
        }
        let before = closed.part_at("additionalProperties");
        is_additive & self.compare(before.as_slice(), rest, path)
    }

    fn compare_names(&mut self, old: &[Node<'_>], new: Node<'_>, path: &str) -> bool {
        let Some(names) = new.part_at("propertyNames") else { return true };
        let before = old.iter().filter_map(|node| node.part_at("propertyNames"));
        let text = Node { document: &TEXT, schema: &TEXT, is_split: false };
        let before: Vec<_> = before.chain([text]).collect();
        self.compare(&before, names, &format!("{path}/propertyNames"))
    }

    fn compare_dependent_required(&mut self, old: &[Node<'_>], new: Node<'_>, path: &str) -> bool {
        let mut is_additive = true;
        for (present, names) in new.keyword("dependentRequired").into_iter().flat_map(map) {
            for name in list(names).filter_map(Value::as_str) {
                let depends = |node: &Node<'_>| {
                    let names = node.keyword("dependentRequired").and_then(|it| it.get(present));
                    names.into_iter().flat_map(list).any(|it| it == name)
                };
                if !is_required(old, name) && !old.iter().any(depends) {
                    let message = format!("`{name}` was not required with `{present}` before");
                    is_additive &= self.refuse(&format!("{path}/dependentRequired"), &message);
                }
            }
        }
        is_additive
    }

    fn compare_dependent_schemas(&mut self, old: &[Node<'_>], new: Node<'_>, path: &str) -> bool {
        let mut is_additive = true;
        for (present, schema) in new.keyword("dependentSchemas").into_iter().flat_map(map) {
            let then = old.iter().filter_map(|it| it.part_in("dependentSchemas", present));
            let before: Vec<_> = then.chain(old.iter().copied()).collect();
            let path = format!("{path}/dependentSchemas/{}", escaped(present));
            self.conditions += 1;
            is_additive &= self.compare(&before, new.part(schema), &path);
            self.conditions -= 1;
        }
        is_additive
    }
}

/// What the old schemas say of a property, by name or among the rest.
fn described<'a>(old: &[Node<'a>], name: &str) -> Vec<Node<'a>> {
    let describes = |node: &Node<'a>| {
        let rest = || match node.keyword("patternProperties") {
            None => node.part_at("additionalProperties").filter(|it| !is_anything(it.schema)),
            // A pattern may speak of it, and then the rest does not.
            Some(_) => None,
        };
        node.part_in("properties", name).or_else(rest)
    };
    old.iter().filter_map(describes).collect()
}

pub(super) fn is_required(old: &[Node<'_>], name: &str) -> bool {
    let required = old.iter().filter_map(|node| node.keyword("required"));
    required.flat_map(list).any(|it| it == name)
}

/// What every name is.
static TEXT: LazyLock<Value> = LazyLock::new(|| json!({"type": "string"}));
