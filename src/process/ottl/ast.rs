//! What a text says, before anybody knows what it means.

/// A node with its column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) column: usize,
    pub(super) ast: Ast,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ast {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// A word in capitals.
    Enum(String),
    List(Vec<Node>),
    Path(Path),
    Call(String, Vec<Node>),
    Math(MathOp, Box<Node>, Box<Node>),
    Compare(CompareOp, Box<Node>, Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
}

/// `resource.attributes["k"]`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    pub(super) names: Vec<String>,
    pub(super) keys: Vec<Key>,
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.names.join("."))?;
        for key in &self.keys {
            match key {
                Key::Text(text) => write!(f, "[{text:?}]")?,
                Key::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// What stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Text(String),
    Index(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MathOp {
    Add,
    Sub,
    Mul,
    Div,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StatementAst {
    pub(super) column: usize,
    pub(super) name: String,
    pub(super) args: Vec<Node>,
    pub(super) condition: Option<Node>,
}

impl Node {
    /// Calls `each` with every path below this node.
    pub(super) fn each_path(&self, each: &mut impl FnMut(usize, &Path)) {
        match &self.ast {
            Ast::Path(path) => each(self.column, path),
            Ast::List(nodes) | Ast::Call(_, nodes) | Ast::And(nodes) | Ast::Or(nodes) => {
                for node in nodes {
                    node.each_path(each);
                }
            }
            Ast::Math(_, left, right) | Ast::Compare(_, left, right) => {
                left.each_path(each);
                right.each_path(each);
            }
            Ast::Not(inner) => inner.each_path(each),
            _ => {}
        }
    }
}
