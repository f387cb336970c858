//! JSON Schema.

mod additive;
mod bounds;
mod depth;
mod graph;
mod keywords;

use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

use tl_model::limits::{
    SCHEMA_CHECKS_MAX, SCHEMA_DATA_NESTING_MAX, SCHEMA_FINDINGS_MAX, SCHEMA_PATTERN_BYTES_MAX,
};

use bounds::Costs;

use crate::{Reason, SchemaError, Violation, excerpt};

/// A JSON Schema of draft 2020-12.
#[derive(Debug)]
pub(crate) struct JsonSchema {
    document: Value,
    validator: Validator,
    costs: Costs,
}

impl JsonSchema {
    pub(crate) fn parse(source: &[u8]) -> Result<Self, SchemaError> {
        let document: Value = serde_json::from_slice(source)
            .map_err(|error| SchemaError(format!("the schema is not JSON: {error}")))?;
        let costs = bounds::check(&document)?;
        let patterns = PatternOptions::regex().size_limit(SCHEMA_PATTERN_BYTES_MAX);
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .should_validate_formats(false)
            .with_pattern_options(patterns)
            .build(&document)
            .map_err(|error| SchemaError(refusal(&error)))?;
        Ok(Self { document, validator, costs })
    }

    /// Takes the checks from those that are left; `None` if there are too few.
    pub(crate) fn check(&self, data: &[u8], left: &mut u64) -> Option<Result<(), Vec<Violation>>> {
        let (value, checks) = match self.read(data) {
            Ok(read) => read,
            Err(violation) => return Some(Err(vec![violation])),
        };
        *left = left.checked_sub(checks)?;
        Some(match self.validator.is_valid(&value) {
            true => Ok(()),
            false => Err(self.violations(&value, checks)),
        })
    }

    /// The data, and the checks that it takes at most.
    fn read(&self, data: &[u8]) -> Result<(Value, u64), Violation> {
        let value: Value = serde_json::from_slice(data).map_err(|error| {
            Violation::of_all(&format!("is not JSON that can be checked: {error}"))
        })?;
        let Size { values, text_bytes, nesting } = Size::of(&value);
        if nesting > SCHEMA_DATA_NESTING_MAX {
            let text = format!("is nested deeper than {SCHEMA_DATA_NESTING_MAX} levels");
            return Err(Violation::of_all(&text));
        }
        let of_patterns = self.costs.patterns.saturating_mul(text_bytes * PATTERN_BYTE_CHECKS);
        let of_values = self.costs.path_checks.saturating_mul(values);
        let checks = of_values.saturating_add(of_patterns);
        if checks > SCHEMA_CHECKS_MAX {
            let text = format!(
                "has {values} values and {text_bytes} bytes of text, too much to be checked with \
                 this schema"
            );
            return Err(Violation::of_all(&text));
        }
        Ok((value, checks))
    }

    pub(crate) fn reasons_against(&self, old: &Self) -> Vec<Reason> {
        additive::reasons(&old.document, &self.document)
    }

    /// The validator collects every violation, each with all that led to it, before it tells the first.
    fn violations(&self, value: &Value, checks: u64) -> Vec<Violation> {
        let told = |error: ValidationError<'_>| {
            let message = error.masked_with("the value").to_string();
            Violation::new(error.instance_path().as_str(), &message)
        };
        if checks > COLLECTED_CHECKS_MAX {
            return self.validator.validate(value).err().into_iter().map(told).collect();
        }
        self.validator.iter_errors(value).take(SCHEMA_FINDINGS_MAX).map(told).collect()
    }
}

/// What the validator has against a schema.
fn refusal(error: &ValidationError<'_>) -> String {
    let (path, message) = (error.instance_path().as_str(), error.to_string());
    match path {
        "" => format!("not a JSON Schema of draft 2020-12: {}", excerpt(&message)),
        path => {
            format!("not a JSON Schema of draft 2020-12: {}: {}", excerpt(path), excerpt(&message))
        }
    }
}

/// How much there is to check.
struct Size {
    /// Long texts count as several: they are gone through for each check.
    values: u64,
    /// Names and texts.
    text_bytes: u64,
    nesting: usize,
}

impl Size {
    fn of(value: &Value) -> Self {
        let whole = Self { values: 1, text_bytes: 0, nesting: 1 };
        let (parts, whole): (Box<dyn Iterator<Item = &Value>>, _) = match value {
            Value::Array(items) => (Box::new(items.iter()), whole),
            Value::Object(members) => {
                let values = 1 + members.keys().map(|name| long(name)).sum::<u64>();
                let text_bytes = members.keys().map(|name| name.len() as u64).sum();
                (Box::new(members.values()), Self { values, text_bytes, nesting: 1 })
            }
            Value::String(text) => {
                let (values, text_bytes) = (1 + long(text), text.len() as u64);
                return Self { values, text_bytes, nesting: 0 };
            }
            _ => return Self { nesting: 0, ..whole },
        };
        parts.map(Self::of).fold(whole, |all, part| Self {
            values: all.values + part.values,
            text_bytes: all.text_bytes + part.text_bytes,
            nesting: all.nesting.max(part.nesting + 1),
        })
    }
}

fn long(text: &str) -> u64 {
    text.len() as u64 / TEXT_BYTES
}

/// So many bytes of text are gone through in the time of one check.
const TEXT_BYTES: u64 = 64;
/// A regular expression can take so many times as long for each of them: about a microsecond.
const PATTERN_BYTE_CHECKS: u64 = 32;
/// Beyond so many checks only the first violation is looked for: a few MiB of violations.
const COLLECTED_CHECKS_MAX: u64 = 20_000;
