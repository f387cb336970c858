//! Arrays and their items.

use serde_json::Value;

use super::super::keywords::list;
use super::{Comparison, Node};

impl Comparison {
    pub(super) fn compare_array(
        &mut self,
        old: &[Node<'_>],
        new: Node<'_>,
        name: &str,
        path: &str,
    ) -> bool {
        match name {
            "prefixItems" => self.compare_first(old, new, path),
            "items" => self.compare_rest_of_items(old, new, path),
            _ => self.compare_contains(old, new, path),
        }
    }

    fn compare_first(&mut self, old: &[Node<'_>], new: Node<'_>, path: &str) -> bool {
        let mut is_additive = true;
        for (place, schema) in new.keyword("prefixItems").into_iter().flat_map(list).enumerate() {
            let path = format!("{path}/prefixItems/{place}");
            is_additive &= self.compare(&items_at(old, place), new.part(schema), &path);
        }
        is_additive
    }

    /// Every place behind the first ones: those that the old version describes, and all behind them.
    fn compare_rest_of_items(&mut self, old: &[Node<'_>], new: Node<'_>, path: &str) -> bool {
        let Some(items) = new.part_at("items") else { return true };
        let path = format!("{path}/items");
        let last = old.iter().map(|node| first_items(*node)).max().unwrap_or(0);
        let first = first_items(new);
        let mut places = first..=last.max(first);
        places.all(|place| self.compare(&items_at(old, place), items, &path))
    }

    fn compare_contains(&mut self, old: &[Node<'_>], new: Node<'_>, path: &str) -> bool {
        let Some(contained) = new.part_at("contains") else { return true };
        let least = |node: Node<'_>| count(node, "minContains").unwrap_or(1);
        let most = |node: Node<'_>| count(node, "maxContains");
        let candidates = old.iter().filter_map(|node| Some((*node, node.part_at("contains")?)));
        let candidates: Vec<_> = candidates.collect();
        let is_enough = least(new) == 0
            || candidates.iter().any(|(node, before)| {
                least(*node) >= least(new) && self.would_accept(&[*before], contained)
            });
        let is_few = most(new).is_none_or(|limit| {
            candidates.iter().any(|(node, before)| {
                most(*node).is_some_and(|it| it <= limit)
                    && self.would_contain_less(contained, *before)
            })
        });
        (is_enough && is_few)
            || self.refuse(&format!("{path}/contains"), "more is demanded of what it contains")
    }

    /// What is counted now was counted before.
    fn would_contain_less(&mut self, contained: Node<'_>, before: Node<'_>) -> bool {
        self.negations += 1;
        let is_less = self.would_accept(&[contained], before);
        self.negations -= 1;
        is_less
    }
}

/// What the old schemas say of the item at a place.
fn items_at<'a>(old: &[Node<'a>], place: usize) -> Vec<Node<'a>> {
    let at = |node: &Node<'a>| {
        let first = node.keyword("prefixItems").and_then(|items| items.get(place));
        first.map(|schema| node.part(schema)).or_else(|| node.part_at("items"))
    };
    old.iter().filter_map(at).collect()
}

fn first_items(node: Node<'_>) -> usize {
    node.keyword("prefixItems").and_then(Value::as_array).map_or(0, Vec::len)
}

fn count(node: Node<'_>, name: &str) -> Option<u64> {
    let count = node.keyword(name)?;
    // Written as 1.0 it is the same.
    count.as_u64().or_else(|| count.as_f64().map(|it| it as u64))
}
