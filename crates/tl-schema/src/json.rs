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

use crate::{Reason, SchemaError, Violation, excerpt};

/// A JSON Schema of draft 2020-12.
#[derive(Debug)]
pub(crate) struct JsonSchema {
    document: Value,
    validator: Validator,
    /// Checks on the way to one value of the data, at most.
    path_checks: u64,
}

impl JsonSchema {
    pub(crate) fn parse(source: &[u8]) -> Result<Self, SchemaError> {
        let document: Value = serde_json::from_slice(source)
            .map_err(|error| SchemaError(format!("the schema is not JSON: {error}")))?;
        let path_checks = bounds::check(&document)?;
        let patterns = PatternOptions::regex().size_limit(SCHEMA_PATTERN_BYTES_MAX);
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .should_validate_formats(false)
            .with_pattern_options(patterns)
            .build(&document)
            .map_err(|error| SchemaError(refusal(&error)))?;
        Ok(Self { document, validator, path_checks })
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
        let Size { values, nesting } = Size::of(&value);
        if nesting > SCHEMA_DATA_NESTING_MAX {
            let text = format!("is nested deeper than {SCHEMA_DATA_NESTING_MAX} levels");
            return Err(Violation::of_all(&text));
        }
        let checks = self.path_checks.saturating_mul(values);
        if checks > SCHEMA_CHECKS_MAX {
            let text = format!("has {values} values, too many to be checked with this schema");
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
    nesting: usize,
}

impl Size {
    fn of(value: &Value) -> Self {
        let whole = Self { values: 1, nesting: 1 };
        let (parts, whole): (Box<dyn Iterator<Item = &Value>>, _) = match value {
            Value::Array(items) => (Box::new(items.iter()), whole),
            Value::Object(members) => {
                let names = members.keys().map(|name| long(name)).sum::<u64>();
                (Box::new(members.values()), Self { values: 1 + names, ..whole })
            }
            Value::String(text) => return Self { values: 1 + long(text), nesting: 0 },
            _ => return Self { values: 1, nesting: 0 },
        };
        parts.map(Self::of).fold(whole, |all, part| Self {
            values: all.values + part.values,
            nesting: all.nesting.max(part.nesting + 1),
        })
    }
}

fn long(text: &str) -> u64 {
    text.len() as u64 / TEXT_BYTES
}

/// So many bytes of text are gone through in the time of one check.
const TEXT_BYTES: u64 = 64;
/// Beyond so many checks only the first violation is looked for: a few MiB of violations.
const COLLECTED_CHECKS_MAX: u64 = 20_000;
