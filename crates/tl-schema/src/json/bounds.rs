//! What keeps every later check short, found out once.
//!
//! A schema that refers to itself can make a validator look at one value more often than there are
//! atoms. How often it can is counted here, for data as deep as is checked at all: a value costs what
//! its own schemas cost, and what those of its parts cost.

use serde_json::Value;

use tl_model::limits::{
    SCHEMA_CHAIN_MAX, SCHEMA_DATA_NESTING_MAX, SCHEMA_NESTING_MAX, SCHEMA_PATH_CHECKS_MAX,
    SCHEMA_PATTERNS_MAX, SCHEMA_WAY_MAX,
};

use super::depth::longest_way;
use super::graph::Graph;
use super::keywords::{Applies, map};
use crate::{SchemaError, excerpt};

/// What checking data with a schema costs at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    /// Checks on the way to one value of any data.
    pub(super) path_checks: u64,
    /// Regular expressions, each of which may go through every text.
    pub(super) patterns: u64,
}

/// What checking data with this schema costs at most.
///
/// # Errors
///
/// The schema is beyond a limit, or uses what is not supported.
pub(super) fn check(document: &Value) -> Result<Costs, SchemaError> {
    check_text(document, 0)?;
    let graph = Graph::of(document)?;
    let patterns = check_keywords(&graph)?;
    if longest_way(&graph) > SCHEMA_WAY_MAX {
        return refuse(format!(
            "its definitions lead from one to the other through more than {SCHEMA_WAY_MAX} schemas"
        ));
    }
    let order = order(&graph)?;
    let path_checks = path_checks(&graph, &order);
    if path_checks > SCHEMA_PATH_CHECKS_MAX {
        return Err(SchemaError(format!(
            "a value could have to be checked more than {SCHEMA_PATH_CHECKS_MAX} times; let \
             alternatives differ before they refer to the same schema again"
        )));
    }
    Ok(Costs { path_checks, patterns })
}

/// Whatever changes what a reference means is left out, so that all of them can be followed.
fn check_text(value: &Value, nesting: usize) -> Result<(), SchemaError> {
    if nesting > SCHEMA_NESTING_MAX {
        return refuse(format!("the schema is nested deeper than {SCHEMA_NESTING_MAX} levels"));
    }
    match value {
        Value::Array(items) => items.iter().try_for_each(|it| check_text(it, nesting + 1)),
        Value::Object(members) => members.iter().try_for_each(|(name, held)| {
            check_member(name, held, nesting)?;
            check_text(held, nesting + 1)
        }),
        _ => Ok(()),
    }
}

fn check_member(name: &str, held: &Value, nesting: usize) -> Result<(), SchemaError> {
    let Some(text) = held.as_str() else { return Ok(()) };
    match name {
        "$dynamicRef" | "$dynamicAnchor" | "$recursiveRef" => {
            refuse(format!("`{name}` is not supported; use `$ref`"))
        }
        "$id" if nesting > 0 => refuse("only the whole schema can have an `$id`".to_owned()),
        "$schema" if text.trim_end_matches('#') != DRAFT => {
            let text = excerpt(text);
            refuse(format!("`$schema` is {text}; only {DRAFT} is supported"))
        }
        _ => Ok(()),
    }
}

/// Returns how many regular expressions there are.
fn check_keywords(graph: &Graph<'_>) -> Result<u64, SchemaError> {
    let mut patterns = 0;
    for schema in graph.nodes.iter().filter_map(|node| node.as_object()) {
        for (former, instead) in FORMER_KEYWORDS {
            if schema.contains_key(*former) {
                return refuse(format!("`{former}` is of an older draft; use `{instead}`"));
            }
        }
        patterns += usize::from(schema.contains_key("pattern"));
        patterns += schema.get("patternProperties").map_or(0, |held| map(held).count());
    }
    if patterns > SCHEMA_PATTERNS_MAX {
        let text = format!("a schema has at most {SCHEMA_PATTERNS_MAX} regular expressions");
        return refuse(text);
    }
    Ok(patterns as u64)
}

/// The schemas in such an order that each comes behind those that apply to the same value with it.
fn order(graph: &Graph<'_>) -> Result<Vec<usize>, SchemaError> {
    let mut order = Order { chains: vec![None; graph.nodes.len()], done: Vec::new() };
    for node in 0..graph.nodes.len() {
        order.visit(graph, node, 1)?;
    }
    Ok(order.done)
}

struct Order {
    /// The longest way from each through others that apply to the same value.
    chains: Vec<Option<usize>>,
    done: Vec<usize>,
}

impl Order {
    /// Whoever leads back to itself has no end.
    fn visit(
        &mut self,
        graph: &Graph<'_>,
        node: usize,
        depth: usize,
    ) -> Result<usize, SchemaError> {
        if let Some(chain) = self.chains[node] {
            return Ok(chain);
        }
        let mut longest = 0;
        for (applies, target) in &graph.edges[node] {
            if *applies == Applies::Here {
                if depth >= SCHEMA_CHAIN_MAX {
                    return too_long();
                }
                longest = longest.max(self.visit(graph, *target, depth + 1)?);
            }
        }
        if longest >= SCHEMA_CHAIN_MAX {
            return too_long();
        }
        self.chains[node] = Some(longest + 1);
        self.done.push(node);
        Ok(longest + 1)
    }
}

fn too_long() -> Result<usize, SchemaError> {
    refuse(format!(
        "more than {SCHEMA_CHAIN_MAX} schemas apply to one value, each by way of the one before; \
         perhaps one refers to itself without end"
    ))
}

fn path_checks(graph: &Graph<'_>, order: &[usize]) -> u64 {
    let mut below = vec![0; graph.nodes.len()];
    for _ in 0..=SCHEMA_DATA_NESTING_MAX {
        let mut here = vec![0_u64; graph.nodes.len()];
        for node in order {
            here[*node] = checks(graph, *node, &here, &below);
        }
        below = here;
    }
    below[0]
}

/// The checks of one schema, given those of the others for the same value and for its parts.
fn checks(graph: &Graph<'_>, node: usize, here: &[u64], below: &[u64]) -> u64 {
    let mut checks = own_checks(graph.nodes[node]);
    let mut groups = std::collections::BTreeMap::<usize, u64>::new();
    for (applies, target) in &graph.edges[node] {
        match applies {
            Applies::Here => checks = checks.saturating_add(here[*target]),
            Applies::Below(group) => {
                let most = groups.entry(*group).or_default();
                *most = (*most).max(below[*target]);
            }
        }
    }
    groups.values().fold(checks, |checks, group| checks.saturating_add(*group))
}

/// Long lists are gone through for each value; a name is compared faster than a schema is checked.
fn own_checks(schema: &Value) -> u64 {
    let len = |name: &str| schema.get(name).and_then(Value::as_array).map_or(0, Vec::len) as u64;
    1 + (len("enum") + len("required")) / 16
}

fn refuse<T>(text: String) -> Result<T, SchemaError> {
    Err(SchemaError(text))
}

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Keywords that validators still honour, and those that took their place.
const FORMER_KEYWORDS: &[(&str, &str)] =
    &[("additionalItems", "items"), ("dependencies", "dependentRequired` or `dependentSchemas")];
