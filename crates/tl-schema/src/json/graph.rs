use std::collections::HashMap;

use serde_json::Value;

use super::keywords::{Applies, applied};
use crate::{SchemaError, excerpt};

/// The schemas within a schema, each once however often it is referred to.
pub(super) struct Graph<'a> {
    /// The first is the schema itself.
    pub(super) nodes: Vec<&'a Value>,
    /// What applies with each.
    pub(super) edges: Vec<Vec<(Applies, usize)>>,
}

impl<'a> Graph<'a> {
    pub(super) fn of(document: &'a Value) -> Result<Self, SchemaError> {
        let mut graph = Self { nodes: vec![document], edges: Vec::new() };
        let mut places = HashMap::from([(address(document), 0)]);
        while graph.edges.len() < graph.nodes.len() {
            let node = graph.nodes[graph.edges.len()];
            let mut edges = Vec::new();
            for (applies, target) in targets(document, node)? {
                let place = *places.entry(address(target)).or_insert_with(|| {
                    graph.nodes.push(target);
                    graph.nodes.len() - 1
                });
                edges.push((applies, place));
            }
            graph.edges.push(edges);
        }
        Ok(graph)
    }
}

fn targets<'a>(
    document: &'a Value,
    node: &'a Value,
) -> Result<Vec<(Applies, &'a Value)>, SchemaError> {
    let Some(schema) = node.as_object() else { return Ok(Vec::new()) };
    let mut targets = applied(schema);
    if let Some(reference) = schema.get("$ref") {
        targets.push((Applies::Here, resolve(document, reference)?));
    }
    Ok(targets)
}

/// What a reference names: something in the same document.
pub(super) fn resolve<'a>(
    document: &'a Value,
    reference: &Value,
) -> Result<&'a Value, SchemaError> {
    let text = reference.as_str().unwrap_or_default();
    let pointer = text.strip_prefix('#').filter(|pointer| {
        (pointer.is_empty() || pointer.starts_with('/')) && !pointer.contains('%')
    });
    pointer.and_then(|pointer| document.pointer(pointer)).ok_or_else(|| {
        let text = excerpt(&reference.to_string());
        SchemaError(format!(
            "`$ref` {text} names nothing in this schema; write `#` or `#/$defs/…`, without escapes, \
             and bring along what is defined elsewhere"
        ))
    })
}

/// What tells one part of a document from another.
pub(super) fn address(value: &Value) -> usize {
    std::ptr::from_ref(value).addr()
}
