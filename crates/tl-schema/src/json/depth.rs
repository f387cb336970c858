//! How deep a schema leads, by way of its references too.
//!
//! Whoever goes through a schema goes deeper with each schema within it, and comes back from those that
//! lead in a circle only when it has been in all of them. So the schemas of a circle count together,
//! and the longest way leads from circle to circle (Kosaraju's algorithm).

use super::graph::Graph;

/// The most schemas that can be gone into one from another without meeting one twice.
pub(super) fn longest_way(graph: &Graph<'_>) -> usize {
    let count = graph.nodes.len();
    let (mut ahead, mut back) = (vec![Vec::new(); count], vec![Vec::new(); count]);
    for (from, edges) in graph.edges.iter().enumerate() {
        for (_, to) in edges {
            ahead[from].push(*to);
            back[*to].push(from);
        }
    }
    let mut left = Vec::new();
    let mut seen = vec![false; count];
    (0..count).for_each(|start| visit(&ahead, start, &mut seen, &mut left));
    let (mut circles, mut circle_of) = (Vec::new(), vec![0; count]);
    let mut seen = vec![false; count];
    for start in left.into_iter().rev() {
        let mut members = Vec::new();
        visit(&back, start, &mut seen, &mut members);
        members.iter().for_each(|node| circle_of[*node] = circles.len());
        circles.push(members);
    }
    longest(&ahead, &circles, &circle_of)
}

/// Goes wherever a node leads, and notes each when it is left. Takes no stack of its own.
fn visit(edges: &[Vec<usize>], start: usize, seen: &mut [bool], left: &mut Vec<usize>) {
    if std::mem::replace(&mut seen[start], true) {
        return;
    }
    let mut open = vec![(start, 0)];
    while let Some((node, next)) = open.last_mut() {
        match edges[*node].get(*next) {
            Some(target) => {
                *next += 1;
                if !std::mem::replace(&mut seen[*target], true) {
                    open.push((*target, 0));
                }
            }
            None => {
                left.push(*node);
                open.pop();
            }
        }
    }
}

/// Circles lead only to later ones, so the last one's way is known first.
fn longest(edges: &[Vec<usize>], circles: &[Vec<usize>], circle_of: &[usize]) -> usize {
    let mut ways = vec![0; circles.len()];
    for (circle, members) in circles.iter().enumerate().rev() {
        let targets = members.iter().flat_map(|node| &edges[*node]).map(|to| circle_of[*to]);
        let beyond = targets.filter(|to| *to != circle).map(|to| ways[to]).max();
        ways[circle] = members.len() + beyond.unwrap_or(0);
    }
    ways.into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(schema: &Value, expected: usize) {
        assert_eq!(longest_way(&Graph::of(schema).expect("a schema")), expected, "{schema}");
    }

    #[test]
    fn a_circle_counts_with_all_its_schemas() {
        check(&json!(true), 1);
        check(&json!({"properties": {"a": {"items": {}}, "b": {}}}), 3);
        check(&json!({"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}}), 3);
        check(&json!({"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"not": {"not": {}}}}}), 5);
        check(
            &json!({"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}),
            4,
        );
    }
}
