//! One tree on top of another, as the Collector merges its sources: mappings merge key by key, anything else
//! replaces what was there. So a later list is the list, and a later null (`processors:`) deletes what an
//! earlier file said.

use super::tree::{Node, Value};

impl Node {
    /// Puts `over` on top of `self`. Every value keeps the place that it came from.
    pub(super) fn merge(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (Value::Map(own), Value::Map(others)) => {
                for other in others {
                    match own.iter_mut().find(|mine| mine.key == other.key) {
                        Some(mine) => {
                            // A mapping that both wrote stands where it was written last, as its values do.
                            mine.at = other.at;
                            mine.node.merge(other.node);
                        }
                        None => own.push(other),
                    }
                }
                self.at = over.at;
            }
            (_, value) => {
                *self = Self {
                    value,
                    at: over.at,
                    expanded: over.expanded,
                    quoted: over.quoted,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::{Any, parse};
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    fn plain(node: &Node) -> Json {
        match node.any() {
            Any::Null => Json::Null,
            Any::Bool(it) => json!(it),
            Any::Int(it) => json!(it),
            Any::Float(it) => json!(it),
            Any::Text(it) => json!(it),
            Any::List(items) => items.iter().map(plain).collect(),
            Any::Map(entries) => {
                let pairs = entries.iter().map(|it| (it.key.clone(), plain(&it.node)));
                Json::Object(pairs.collect())
            }
        }
    }

    fn merged(texts: &[&str]) -> Json {
        let mut trees = texts.iter().map(|text| parse(text).unwrap());
        let mut first = trees.next().unwrap();
        trees.for_each(|tree| first.merge(tree));
        plain(&first)
    }

    #[test]
    fn mappings_merge_lists_replace_and_null_deletes() {
        for (texts, expected) in [
            (
                &["a: {b: 1, c: 2}", "a: {c: 3, d: 4}"][..],
                json!({"a": {"b": 1, "c": 3, "d": 4}}),
            ),
            (&["a: [1, 2]", "a: [3]"], json!({"a": [3]})),
            (&["a: {b: {c: 1}}", "a: {b: }"], json!({"a": {"b": null}})),
            (&["a: {b: 1}", "a: {}"], json!({"a": {"b": 1}})),
            (&["a: {b: }", "a: {b: {c: 1}}"], json!({"a": {"b": {"c": 1}}})),
            (&["a: 1", "a: {b: 1}", "a: 2"], json!({"a": 2})),
        ] {
            assert_eq!(merged(texts), expected, "{texts:?}");
        }
    }

    #[test]
    fn a_value_keeps_the_place_that_it_came_from() {
        let mut base = super::super::tree::parse_source("a:\n  b: 1\n  c: 2\n", 0).unwrap();
        base.merge(super::super::tree::parse_source("a:\n  c: 3\n", 1).unwrap());
        let a = &base.entry("a").unwrap().node;
        let place = |key: &str| {
            let at = a.entry(key).unwrap().node.at;
            (at.source, at.line)
        };
        assert_eq!((place("b"), place("c")), ((0, 2), (1, 2)));
    }

    /// JSON documents of a few keys, so that they overlap.
    fn document() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            (0_i64..9).prop_map(|it| json!(it)),
            "[a-c]{1,3}".prop_map(|it| json!(it)),
            proptest::collection::vec(0_i64..9, 0..3).prop_map(|it| json!(it)),
        ];
        let inner = leaf.prop_recursive(3, 24, 4, |inner| {
            proptest::collection::btree_map("[a-d]", inner, 0..4).prop_map(|it| json!(it))
        });
        proptest::collection::btree_map("[a-d]", inner, 0..4).prop_map(|it| json!(it))
    }

    /// The same rule, over JSON.
    fn oracle(base: &mut Json, over: &Json) {
        match (base, over) {
            (Json::Object(base), Json::Object(over)) => {
                for (key, value) in over {
                    oracle(base.entry(key.clone()).or_insert(Json::Null), value);
                }
            }
            (base, over) => *base = over.clone(),
        }
    }

    proptest! {
        #[test]
        fn a_merge_is_what_the_rule_says(base in document(), over in document()) {
            let mut expected = base.clone();
            oracle(&mut expected, &over);
            prop_assert_eq!(merged(&[&base.to_string(), &over.to_string()]), expected);
        }

        #[test]
        fn a_document_on_top_of_itself_is_itself(one in document()) {
            prop_assert_eq!(merged(&[&one.to_string(), &one.to_string()]), one);
        }
    }
}
