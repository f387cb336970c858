//! What a newer description of HTTP breaks for clients of an older one.
//!
//! A request that was legal must stay legal, and an answer must have all that a client could rely on.

mod schema;

use std::collections::BTreeSet;

use serde_json::Value;

use schema::Direction;

/// Whatever is missing or newly asked for, each with the path to it.
pub(super) fn broken(old: &Value, new: &Value) -> BTreeSet<String> {
    let mut findings = Findings(BTreeSet::new());
    let (old, new) = (Node { document: old, value: old }, Node { document: new, value: new });
    for (path, old_item, new_item) in findings.members("", old.at("paths"), new.at("paths")) {
        for method in METHODS {
            let (at, old, new) =
                (format!("{path} {method}"), old_item.at(method), new_item.at(method));
            match (old.is_there(), new.is_there()) {
                (true, true) => findings.operation(&at, (old_item, old), (new_item, new)),
                (true, false) => findings.add(&at, "is gone"),
                (false, _) => {}
            }
        }
    }
    findings.0
}

/// A value of a document. References are followed.
#[derive(Clone, Copy)]
struct Node<'a> {
    document: &'a Value,
    value: &'a Value,
}

impl<'a> Node<'a> {
    fn at(self, name: &str) -> Self {
        self.with(&self.value[name])
    }

    fn with(self, value: &'a Value) -> Self {
        let reference = value["$ref"].as_str().and_then(|it| it.strip_prefix('#'));
        let target = reference.and_then(|pointer| self.document.pointer(pointer));
        match target {
            Some(target) => self.with(target),
            None => Self { value, ..self },
        }
    }

    fn is_there(self) -> bool {
        !self.value.is_null()
    }

    fn is_true(self, name: &str) -> bool {
        self.value[name] == true
    }

    fn text(self, name: &str) -> &'a str {
        self.value[name].as_str().unwrap_or_default()
    }

    fn items(self) -> impl Iterator<Item = Self> {
        self.value.as_array().into_iter().flatten().map(move |value| self.with(value))
    }

    fn names(self) -> impl Iterator<Item = &'a str> {
        self.value.as_object().into_iter().flat_map(|members| members.keys().map(String::as_str))
    }
}

struct Findings(BTreeSet<String>);

impl Findings {
    fn add(&mut self, at: &str, what: &str) {
        self.0.insert(format!("{at} {what}"));
    }

    /// The members that both have, each with its path; what the newer has lost is a finding.
    fn members<'a>(
        &mut self,
        at: &str,
        old: Node<'a>,
        new: Node<'a>,
    ) -> Vec<(String, Node<'a>, Node<'a>)> {
        let mut both = Vec::new();
        for name in old.names() {
            let path = format!("{at} {name}").trim_start().to_owned();
            match new.at(name) {
                member if new.value.get(name).is_some() => both.push((path, old.at(name), member)),
                _ => self.add(&path, "is gone"),
            }
        }
        both
    }

    fn operation(&mut self, at: &str, old: (Node<'_>, Node<'_>), new: (Node<'_>, Node<'_>)) {
        self.parameters(at, &parameters(old), &parameters(new));
        let ((_, old), (_, new)) = (old, new);
        self.body(&format!("{at} requestBody"), old.at("requestBody"), new.at("requestBody"));
        let (old, new) = (old.at("responses"), new.at("responses"));
        for (at, old, new) in self.members(&format!("{at} responses"), old, new) {
            self.members(&format!("{at} headers"), old.at("headers"), new.at("headers"));
            self.content(&at, old, new, Direction::Response);
        }
    }

    fn parameters(&mut self, at: &str, old: &[Node<'_>], new: &[Node<'_>]) {
        let name = |node: Node<'_>| format!("{} {}", node.text("in"), node.text("name"));
        for old in old {
            let at = format!("{at} parameter {}", name(*old));
            match new.iter().find(|new| name(**new) == name(*old)) {
                None => self.add(&at, "is gone"),
                Some(new) => {
                    self.requirement(&at, *old, *new);
                    schema::compare(
                        self,
                        &at,
                        old.at("schema"),
                        new.at("schema"),
                        Direction::Request,
                    );
                }
            }
        }
        for new in new.iter().filter(|new| new.is_true("required")) {
            if !old.iter().any(|old| name(*old) == name(*new)) {
                self.add(&format!("{at} parameter {}", name(*new)), "is newly required");
            }
        }
    }

    fn body(&mut self, at: &str, old: Node<'_>, new: Node<'_>) {
        self.requirement(at, old, new);
        match (old.is_there(), new.is_there()) {
            (true, false) => self.add(at, "is gone"),
            _ => self.content(at, old, new, Direction::Request),
        }
    }

    fn content(&mut self, at: &str, old: Node<'_>, new: Node<'_>, direction: Direction) {
        for (at, old, new) in self.members(at, old.at("content"), new.at("content")) {
            schema::compare(self, &at, old.at("schema"), new.at("schema"), direction);
        }
    }

    fn requirement(&mut self, at: &str, old: Node<'_>, new: Node<'_>) {
        if new.is_true("required") && !old.is_true("required") {
            self.add(at, "is newly required");
        }
    }
}

/// The parameters of an operation: its path's and its own.
fn parameters<'a>((item, operation): (Node<'a>, Node<'a>)) -> Vec<Node<'a>> {
    item.at("parameters").items().chain(operation.at("parameters").items()).collect()
}

const METHODS: &[&str] = &["delete", "get", "head", "options", "patch", "post", "put", "trace"];

#[cfg(test)]
mod tests;
