//! A persistent ordered map: a change shares all but a path of nodes with the tree before it.
//!
//! Weight-balanced: neither side of a node is more than `DELTA` times as heavy as the other, so depth, and with it
//! recursion, is logarithmic whatever the keys are.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::storage::Row;

/// How much heavier one side may be.
const DELTA: usize = 3;
/// From which proportion on a single rotation would not do.
const RATIO: usize = 2;

/// An immutable map from keys to rows; cloning it costs a counter.
#[derive(Clone, Debug, Default)]
pub struct Tree(Link);

type Link = Option<Arc<Node>>;
type Entry = Arc<(String, Row)>;

#[derive(Debug)]
struct Node {
    size: usize,
    entry: Entry,
    left: Link,
    right: Link,
}

impl Tree {
    /// How many rows there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        size(&self.0)
    }

    /// The row of this key.
    pub fn get(&self, key: &str) -> Option<&Row> {
        let mut link = &self.0;
        while let Some(node) = link {
            link = match key.cmp(&node.entry.0) {
                Ordering::Equal => return Some(&node.entry.1),
                Ordering::Less => &node.left,
                Ordering::Greater => &node.right,
            };
        }
        None
    }

    /// Writes a row.
    pub fn put(&mut self, key: String, row: Row) {
        self.0 = Some(put(&self.0, Arc::new((key, row))));
    }

    /// Removes a row, if it is there.
    pub fn delete(&mut self, key: &str) {
        if let Some(without) = delete(&self.0, key) {
            self.0 = without;
        }
    }

    /// The rows from this key on, in order; `inclusive` says whether the key itself counts.
    pub fn seek(&self, key: &str, inclusive: bool) -> Iter<'_> {
        let mut stack = Vec::new();
        let mut link = &self.0;
        while let Some(node) = link {
            let order = node.entry.0.as_str().cmp(key);
            if order == Ordering::Greater || (inclusive && order == Ordering::Equal) {
                stack.push(&**node);
                link = &node.left;
            } else {
                link = &node.right;
            }
        }
        Iter { stack }
    }
}

/// Rows in the order of their keys.
pub struct Iter<'a> {
    stack: Vec<&'a Node>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a Row);

    fn next(&mut self) -> Option<Self::Item> {
        let node = self.stack.pop()?;
        let mut link = &node.right;
        while let Some(below) = link {
            self.stack.push(below);
            link = &below.left;
        }
        Some((&node.entry.0, &node.entry.1))
    }
}

fn size(link: &Link) -> usize {
    link.as_ref().map_or(0, |node| node.size)
}

fn node(left: Link, entry: Entry, right: Link) -> Arc<Node> {
    Arc::new(Node { size: size(&left) + size(&right) + 1, entry, left, right })
}

fn put(link: &Link, entry: Entry) -> Arc<Node> {
    let Some(at) = link else { return node(None, entry, None) };
    match entry.0.cmp(&at.entry.0) {
        Ordering::Equal => node(at.left.clone(), entry, at.right.clone()),
        Ordering::Less => balance(Some(put(&at.left, entry)), at.entry.clone(), at.right.clone()),
        Ordering::Greater => balance(at.left.clone(), at.entry.clone(), Some(put(&at.right, entry))),
    }
}

/// The tree without this key; none if it had no such key.
fn delete(link: &Link, key: &str) -> Option<Link> {
    let at = link.as_ref()?;
    Some(match key.cmp(&at.entry.0) {
        Ordering::Equal => join(&at.left, &at.right),
        Ordering::Less => Some(balance(delete(&at.left, key)?, at.entry.clone(), at.right.clone())),
        Ordering::Greater => Some(balance(at.left.clone(), at.entry.clone(), delete(&at.right, key)?)),
    })
}

/// One tree of two that were balanced against each other.
fn join(left: &Link, right: &Link) -> Link {
    let (Some(l), Some(r)) = (left, right) else { return left.clone().or_else(|| right.clone()) };
    Some(if l.size > r.size {
        let (rest, last) = without_last(l);
        balance(rest, last, right.clone())
    } else {
        let (first, rest) = without_first(r);
        balance(left.clone(), first, rest)
    })
}

fn without_first(at: &Arc<Node>) -> (Entry, Link) {
    let Some(left) = &at.left else { return (at.entry.clone(), at.right.clone()) };
    let (first, rest) = without_first(left);
    (first, Some(balance(rest, at.entry.clone(), at.right.clone())))
}

fn without_last(at: &Arc<Node>) -> (Link, Entry) {
    let Some(right) = &at.right else { return (at.left.clone(), at.entry.clone()) };
    let (rest, last) = without_last(right);
    (Some(balance(at.left.clone(), at.entry.clone(), rest)), last)
}

/// A node of two sides of which one may have become one too heavy.
fn balance(left: Link, entry: Entry, right: Link) -> Arc<Node> {
    let (l, r) = (size(&left), size(&right));
    if l + r > 1 {
        if let Some(heavy) = right.as_ref().filter(|_| r > DELTA * l) {
            return rotate_left(left, entry, heavy);
        }
        if let Some(heavy) = left.as_ref().filter(|_| l > DELTA * r) {
            return rotate_right(heavy, entry, right);
        }
    }
    node(left, entry, right)
}

fn rotate_left(left: Link, entry: Entry, heavy: &Node) -> Arc<Node> {
    match &heavy.left {
        Some(inner) if inner.size >= RATIO * size(&heavy.right) => node(
            Some(node(left, entry, inner.left.clone())),
            inner.entry.clone(),
            Some(node(inner.right.clone(), heavy.entry.clone(), heavy.right.clone())),
        ),
        inner => node(Some(node(left, entry, inner.clone())), heavy.entry.clone(), heavy.right.clone()),
    }
}

fn rotate_right(heavy: &Node, entry: Entry, right: Link) -> Arc<Node> {
    match &heavy.right {
        Some(inner) if inner.size >= RATIO * size(&heavy.left) => node(
            Some(node(heavy.left.clone(), heavy.entry.clone(), inner.left.clone())),
            inner.entry.clone(),
            Some(node(inner.right.clone(), entry, right)),
        ),
        inner => node(heavy.left.clone(), heavy.entry.clone(), Some(node(inner.clone(), entry, right))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn row(version: u64) -> Row {
        Row { version, value: Vec::new() }
    }

    /// Fails where a node is out of balance or its size is wrong; answers the depth.
    fn sound(link: &Link) -> usize {
        let Some(node) = link else { return 0 };
        let (l, r) = (size(&node.left), size(&node.right));
        assert_eq!(node.size, l + r + 1);
        assert!(l + r <= 1 || (l <= DELTA * r && r <= DELTA * l), "{l} against {r}");
        1 + sound(&node.left).max(sound(&node.right))
    }

    #[test]
    fn sorted_input_stays_shallow() {
        let mut tree = Tree::default();
        for n in 0..10_000 {
            tree.put(format!("{n:08}"), row(n));
        }
        assert!(sound(&tree.0) < 32);
        for n in 0..9_990 {
            tree.delete(&format!("{n:08}"));
        }
        assert_eq!(tree.len(), 10);
        sound(&tree.0);
    }

    proptest! {
        #[test]
        fn it_is_a_map(changes in prop::collection::vec((0u8..64, any::<bool>()), 0..300)) {
            let mut tree = Tree::default();
            let mut model = BTreeMap::new();
            let mut old = Vec::new();
            for (version, (key, put)) in (0u64..).zip(changes) {
                old.push((tree.clone(), model.clone()));
                let key = format!("{key:02}");
                if put {
                    tree.put(key.clone(), row(version));
                    model.insert(key, row(version));
                } else {
                    tree.delete(&key);
                    model.remove(&key);
                }
                sound(&tree.0);
            }
            old.push((tree, model));
            // Older trees are what they were.
            for (tree, model) in old {
                prop_assert!(tree.seek("", true).eq(model.iter().map(|(k, r)| (k.as_str(), r))));
                prop_assert!(tree.seek("32", false).eq(model.iter().filter(|(k, _)| k.as_str() > "32").map(|(k, r)| (k.as_str(), r))));
                prop_assert_eq!(tree.get("32"), model.get("32"));
            }
        }
    }
}
