//! Schemas, as far as it can be told from their members that one takes or gives less than another.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Findings, Node};

/// Who writes what a schema describes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Direction {
    /// Clients: the newer schema must take all that the older one took.
    Request,
    /// The server: the newer schema must give all that the older one gave.
    Response,
}

pub(super) fn compare(
    findings: &mut Findings,
    at: &str,
    old: Node<'_>,
    new: Node<'_>,
    direction: Direction,
) {
    compare_at_depth(findings, at, old, new, direction, 0);
}

fn compare_at_depth(
    findings: &mut Findings,
    at: &str,
    old: Node<'_>,
    new: Node<'_>,
    direction: Direction,
    depth: usize,
) {
    // Schemas may contain themselves.
    if depth > DEPTH_MAX {
        return;
    }
    compare_values(findings, at, old, new, direction);
    compare_required(findings, at, old, new, direction);
    let mut both = findings.members(at, old.at("properties"), new.at("properties"));
    both.push((format!("{at} items"), old.at("items"), new.at("items")));
    for (at, old, new) in both {
        compare_at_depth(findings, &at, old, new, direction, depth + 1);
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let new: Vec<_> = new.at(keyword).items().collect();
        for (index, old) in old.at(keyword).items().enumerate() {
            let at = format!("{at} {keyword} {index}");
            let broken = |new: &Node<'_>| {
                let mut findings = Findings(BTreeSet::new());
                compare_at_depth(&mut findings, &at, old, *new, direction, depth + 1);
                findings.0
            };
            // Alternatives have no names: each must live on in one of the newer ones.
            let closest = new.iter().map(broken).min_by_key(BTreeSet::len);
            findings.0.extend(closest.unwrap_or_else(|| [format!("{at} is gone")].into()));
        }
    }
}

/// Types and enumerated values: what may be sent may not become less, what is answered not more. Codes
/// and words are added to answers all the time, so only types count there.
fn compare_values(
    findings: &mut Findings,
    at: &str,
    old: Node<'_>,
    new: Node<'_>,
    direction: Direction,
) {
    let (old_types, new_types) = (types(old), types(new));
    let is_narrower = !is_within(&old_types, &new_types);
    let is_wider = !is_within(&new_types, &old_types);
    match direction {
        Direction::Request if is_narrower => findings.add(at, "takes fewer types"),
        Direction::Response if is_wider => findings.add(at, "has another type"),
        _ => {}
    }
    let is_narrower = !is_within(&values(old), &values(new));
    if direction == Direction::Request && is_narrower {
        findings.add(at, "takes fewer values");
    }
}

fn compare_required(
    findings: &mut Findings,
    at: &str,
    old: Node<'_>,
    new: Node<'_>,
    direction: Direction,
) {
    let required = |node| set(node, "required").unwrap_or_default();
    let (old, new) = (required(old), required(new));
    let (missing, what) = match direction {
        Direction::Request => (new.difference(&old), "is newly required"),
        Direction::Response => (old.difference(&new), "is no longer promised"),
    };
    for name in missing {
        findings.add(&format!("{at} {name}"), what);
    }
}

/// The types that a schema allows; none if all. Those of enumerated values need not be named.
fn types(node: Node<'_>) -> Option<BTreeSet<String>> {
    let kind = |value: &String| match serde_json::from_str(value) {
        Ok(Value::Bool(_)) => "boolean",
        Ok(Value::Null) => "null",
        Ok(Value::Number(number)) if number.is_f64() => "number",
        Ok(Value::Number(_)) => "integer",
        Ok(Value::Array(_)) => "array",
        Ok(Value::Object(_)) => "object",
        Ok(Value::String(_)) | Err(_) => "string",
    };
    let of_values = |values: BTreeSet<_>| values.iter().map(kind).map(str::to_owned).collect();
    let mut types = set(node, "type").or_else(|| values(node).map(of_values))?;
    if types.contains("number") {
        types.insert("integer".to_owned());
    }
    Some(types)
}

/// The values that a schema names, as JSON; none if it leaves them free.
fn values(node: Node<'_>) -> Option<BTreeSet<String>> {
    let one = node.value.get("const").map(|value| [value.to_string()].into());
    let all = node.value["enum"].as_array();
    one.or_else(|| all.map(|values| values.iter().map(Value::to_string).collect()))
}

/// The words of a keyword, one or a list of them; none if it is not there, which leaves all free.
fn set(node: Node<'_>, keyword: &str) -> Option<BTreeSet<String>> {
    let word = |value: &Value| value.as_str().map(str::to_owned);
    match node.value.get(keyword)? {
        Value::Array(words) => Some(words.iter().filter_map(word).collect()),
        value => word(value).map(|word| [word].into()),
    }
}

/// Whether all that one keyword allows is allowed by another.
fn is_within(inner: &Option<BTreeSet<String>>, outer: &Option<BTreeSet<String>>) -> bool {
    match (inner, outer) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(inner), Some(outer)) => inner.is_subset(outer),
    }
}

/// Deeper than any schema that a person would read.
const DEPTH_MAX: usize = 16;
