//! Types, values and bounds.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::types::{Types, values};
use super::{Comparison, Node};

impl Comparison {
    pub(super) fn compare_scalar(
        &mut self,
        old: &[Node<'_>],
        types: Types,
        new: Node<'_>,
        name: &str,
        path: &str,
    ) -> bool {
        let wanted = &new.schema[name];
        let follows =
            |is_enough: &dyn Fn(&Value) -> bool| old.iter().any(|it| is_enough(it.schema));
        let is_kept = match name {
            "type" => return self.compare_types(types, new, path),
            "enum" | "const" => return self.compare_values(old, new, name, path),
            "minimum" | "exclusiveMinimum" => follows(&|old| is_bounded(old, name, wanted, LOWER)),
            "maximum" | "exclusiveMaximum" => follows(&|old| is_bounded(old, name, wanted, UPPER)),
            "minLength" | "minItems" | "minProperties" => {
                is_zero(wanted) || follows(&|old| is_at_least(old.get(name), wanted))
            }
            "maxLength" | "maxItems" | "maxProperties" => {
                follows(&|old| old.get(name).is_some_and(|it| is_at_least(Some(wanted), it)))
            }
            "multipleOf" => follows(&|old| is_multiple(old.get(name), wanted)),
            "uniqueItems" => *wanted == false || follows(&|old| old.get(name) == Some(wanted)),
            _ => follows(&|old| old.get(name) == Some(wanted)),
        };
        let known = old.iter().find_map(|node| node.keyword(name));
        let message = match known {
            Some(before) => format!("`{name}` is stricter than before: {wanted}, not {before}"),
            None => format!("`{name}` was not demanded before"),
        };
        is_kept || self.refuse(&format!("{path}/{name}"), &message)
    }

    fn compare_types(&mut self, types: Types, new: Node<'_>, path: &str) -> bool {
        let missing = types.missing_in(new.schema);
        let message = format!("no longer accepted: {}", missing.join(", "));
        missing.is_empty() || self.refuse(&format!("{path}/type"), &message)
    }

    fn compare_values(&mut self, old: &[Node<'_>], new: Node<'_>, name: &str, path: &str) -> bool {
        let path = format!("{path}/{name}");
        let accepted = match name {
            "const" => std::slice::from_ref(&new.schema[name]),
            _ => new.schema[name].as_array().map_or(&[][..], Vec::as_slice),
        };
        let missing = |before: &[Value]| before.iter().find(|it| !accepted.contains(it)).cloned();
        let mut lost: Vec<_> = old.iter().filter_map(|it| values(it.schema)).map(missing).collect();
        match lost.pop() {
            None => self.refuse(&path, "only certain values are accepted, which was not so before"),
            Some(None) => true,
            Some(_) if lost.contains(&None) => true,
            Some(Some(value)) => {
                self.refuse(&path, &format!("the value {value} is no longer accepted"))
            }
        }
    }
}

/// Which way a bound tightens, and the names of both of its forms.
type Side = (Ordering, &'static str, &'static str);
const LOWER: Side = (Ordering::Greater, "minimum", "exclusiveMinimum");
const UPPER: Side = (Ordering::Less, "maximum", "exclusiveMaximum");

/// Whether an old bound implies the new one.
fn is_bounded(old: &Value, name: &str, wanted: &Value, side: Side) -> bool {
    let (tighter, inclusive, exclusive) = side;
    let is_tighter = |held: Option<&Value>, or_equal: bool| match compared(held, wanted) {
        Some(Ordering::Equal) => or_equal,
        order => order == Some(tighter),
    };
    is_tighter(old.get(exclusive), true) || is_tighter(old.get(inclusive), name == inclusive)
}

fn is_at_least(held: Option<&Value>, wanted: &Value) -> bool {
    compared(held, wanted).is_some_and(Ordering::is_ge)
}

fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

/// Whether a multiple of the old number is always one of the new. Fractions are not exact enough.
fn is_multiple(held: Option<&Value>, wanted: &Value) -> bool {
    let Some(held) = held else { return false };
    match (held.as_u64(), wanted.as_u64()) {
        (Some(held), Some(wanted)) => wanted > 0 && held.is_multiple_of(wanted),
        _ => held == wanted,
    }
}

/// The order of two numbers, as far as it is certain.
fn compared(held: Option<&Value>, wanted: &Value) -> Option<Ordering> {
    let (held, wanted) = (held?.as_number()?, wanted.as_number()?);
    match (integer(held), integer(wanted)) {
        (Some(held), Some(wanted)) => Some(held.cmp(&wanted)),
        _ => {
            let is_exact = |number: &f64| number.abs() < EXACT_LIMIT;
            let (held, wanted) =
                (held.as_f64().filter(is_exact)?, wanted.as_f64().filter(is_exact)?);
            held.partial_cmp(&wanted)
        }
    }
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// Up to 2⁵³ every integer is a number of its own.
const EXACT_LIMIT: f64 = 9_007_199_254_740_992.0;
