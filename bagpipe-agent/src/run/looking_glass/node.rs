//! A tree of which only what is asked for is made: a node shows scalars in place, and what is below as links.

use serde_json::{Map, Value, json};

/// A place in the tree.
pub(super) enum Node<'a> {
    /// Something made already, shown in place.
    Value(Value),
    /// An object.
    Object(Vec<(&'static str, Member<'a>)>),
    /// A list of what is found by a name.
    Collection(Vec<Entry>, Find<'a>),
}

/// What finds a member of a collection.
pub(super) type Find<'a> = Box<dyn Fn(&str) -> Option<Node<'a>> + 'a>;

/// A member of an object.
pub(super) enum Member<'a> {
    /// Shown with the object.
    Here(Value),
    /// Linked.
    Below(Box<dyn Fn() -> Node<'a> + 'a>),
}

/// What a collection tells of one of its members.
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) more: Vec<(&'static str, Value)>,
}

impl Entry {
    pub(super) fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), more: Vec::new() }
    }
}

pub(super) fn here<'a>(value: impl Into<Value>) -> Member<'a> {
    Member::Here(value.into())
}

pub(super) fn below<'a>(node: impl Fn() -> Node<'a> + 'a) -> Member<'a> {
    Member::Below(Box::new(node))
}

impl Node<'_> {
    /// What is at a path below this node. `base`: the address of the node.
    pub(super) fn look(self, base: &str, path: &[String]) -> Option<Value> {
        match self {
            Self::Value(value) => walk(value, path),
            Self::Object(members) => match path {
                [] => {
                    let shown = members.into_iter();
                    Some(Value::Object(shown.map(|(name, member)| member.shown(base, name)).collect()))
                }
                [name, rest @ ..] => {
                    let (_, member) = members.into_iter().find(|(known, _)| known == name)?;
                    match member {
                        Member::Here(value) => walk(value, rest),
                        Member::Below(node) => node().look(&joined(base, name), rest),
                    }
                }
            },
            Self::Collection(entries, find) => match path {
                [] => Some(entries.into_iter().map(|entry| entry.shown(base)).collect()),
                [id, rest @ ..] => find(id)?.look(&joined(base, id), rest),
            },
        }
    }
}

impl Member<'_> {
    fn shown(self, base: &str, name: &str) -> (String, Value) {
        let value = match self {
            Self::Here(value) => value,
            Self::Below(_) => json!({ "href": joined(base, name) }),
        };
        (name.to_owned(), value)
    }
}

impl Entry {
    fn shown(self, base: &str) -> Value {
        let mut object = Map::new();
        let href = joined(base, &self.id);
        object.insert("id".to_owned(), self.id.into());
        object.extend(self.more.into_iter().map(|(name, value)| (name.to_owned(), value)));
        object.insert("href".to_owned(), href.into());
        Value::Object(object)
    }
}

/// Members of objects only: a path does not lead into lists.
fn walk(value: Value, path: &[String]) -> Option<Value> {
    path.iter().try_fold(value, |value, name| match value {
        Value::Object(mut members) => members.remove(name),
        _ => None,
    })
}

/// The address of something below another address.
pub(super) fn joined(base: &str, name: &str) -> String {
    let mut address = format!("{base}/");
    for octet in name.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            address.push(char::from(octet));
        } else {
            address.push_str(&format!("%{octet:02X}"));
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree<'a>() -> Node<'a> {
        let leaf = || Node::Value(json!({"a": {"b": [1]}, "none": null}));
        let found = move |id: &str| (id == "x/y").then(leaf);
        Node::Object(vec![
            ("count", here(3)),
            ("inner", below(move || Node::Object(vec![("leaf", below(leaf))]))),
            (
                "list",
                below(move || {
                    let more = vec![("state", "up".into())];
                    Node::Collection(vec![Entry { id: "x/y".to_owned(), more }], Box::new(found))
                }),
            ),
        ])
    }

    fn look(path: &str) -> Option<Value> {
        let path: Vec<String> = path.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        tree().look("http://h/t", &path)
    }

    #[test]
    fn what_is_below_is_linked_and_found() {
        assert_eq!(
            look("").unwrap(),
            json!({
                "count": 3,
                "inner": {"href": "http://h/t/inner"},
                "list": {"href": "http://h/t/list"},
            })
        );
        let entry = json!([{"id": "x/y", "state": "up", "href": "http://h/t/list/x%2Fy"}]);
        assert_eq!(look("list").unwrap(), entry);
        assert_eq!(look("list x/y a b").unwrap(), json!([1]));
        assert_eq!(look("inner").unwrap(), json!({"leaf": {"href": "http://h/t/inner/leaf"}}));
        assert_eq!(look("inner leaf none").unwrap(), Value::Null);
        assert_eq!(look("count").unwrap(), json!(3));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        for path in ["nothing", "count more", "list z", "list x/y a b 0", "list x/y z", "inner leaf z"] {
            assert_eq!(look(path), None, "{path}");
        }
    }
}
