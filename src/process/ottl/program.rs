//! Groups of conditions or statements, and the passes over a request that they need.

use super::OttlError;
use super::assign::Statement;
use super::ast::{Node, Path as PathAst, StatementAst};
use super::compile::{Compiler, Condition};
use super::context::Context;
use super::parser;
use super::path::Path;
use crate::config::ErrorMode;
use crate::process::edits::Halt;
use crate::wire::Request;
use crate::wire::edit::{Kind, Level, Levels, Wants};

/// What a pass reads of the messages of each level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process) struct Needs {
    levels: [Wants; 4],
    /// Which messages the innermost level is about.
    part: Option<Context>,
}

impl Default for Needs {
    fn default() -> Self {
        Self {
            levels: [Wants::Nothing; 4],
            part: None,
        }
    }
}

impl Needs {
    /// At least the fields of what it is about.
    pub(super) fn of(context: Context) -> Self {
        let mut it = Self::default();
        it.at_least(context, Wants::Fields);
        it
    }

    fn at_least(&mut self, context: Context, wants: Wants) {
        if let Some(slot) = self.levels.get_mut(context.level() as usize) {
            *slot = (*slot).max(wants);
        }
        if context.level() == Level::Part {
            self.part = Some(context);
        }
    }

    pub(super) fn path(&mut self, path: &Path) {
        let wants = if path.needs_attributes() {
            Wants::Attributes
        } else {
            Wants::Fields
        };
        self.at_least(path.context, wants);
    }

    fn add(&mut self, other: Self) {
        for (own, other) in self.levels.iter_mut().zip(other.levels) {
            *own = (*own).max(other);
        }
        self.part = self.part.or(other.part);
    }

    /// How much is needed of a message of this kind.
    pub(in crate::process) fn of_kind(self, kind: Kind) -> Wants {
        let level = |level: Level| self.levels.get(level as usize).copied().unwrap_or(Wants::Nothing);
        match kind {
            Kind::Resource => level(Level::Resource),
            Kind::Scope => level(Level::Scope),
            Kind::Span | Kind::Metric | Kind::Record => level(Level::Item),
            _ if self.part.is_some_and(|context| context.kinds().contains(&kind)) => level(Level::Part),
            _ => Wants::Nothing,
        }
    }
}

/// Conditions or statements of one context.
#[derive(Debug)]
pub(in crate::process) struct Group {
    pub(in crate::process) context: Context,
    pub(in crate::process) error_mode: ErrorMode,
    needs: Needs,
    conditions: Vec<Condition>,
    statements: Vec<Statement>,
}

/// The context that the paths of a text say: the innermost of those before their dots.
fn inferred(
    request: Request,
    each: impl FnOnce(&mut dyn FnMut(usize, &PathAst)),
) -> Result<Context, OttlError> {
    let mut found = None::<usize>;
    let mut problem = None::<OttlError>;
    each(&mut |column, path| {
        let context = path.names.first().filter(|_| path.names.len() > 1);
        let context = context.and_then(|name| Context::named(name));
        let place = context.and_then(|context| Context::of(request).iter().position(|one| *one == context));
        found = found.max(place);
        if place.is_none() {
            let names: Vec<&str> = Context::of(request).iter().map(|one| one.name()).collect();
            let message = format!(
                "`{path}` needs its context in front, such as {}.{path}; one of {}",
                names.last().copied().unwrap_or_default(),
                names.join(", ")
            );
            problem.get_or_insert(OttlError::new(column, message));
        }
    });
    if let Some(problem) = problem {
        return Err(problem);
    }
    let place =
        found.ok_or_else(|| OttlError::new(1, "no path says what this is about; give it a context"))?;
    Context::of(request)
        .get(place)
        .copied()
        .ok_or_else(|| OttlError::new(1, "no path says what this is about; give it a context"))
}

fn paths_of(statement: &StatementAst, each: &mut dyn FnMut(usize, &PathAst)) {
    let nodes = statement.args.iter().chain(&statement.condition);
    nodes.for_each(|node: &Node| node.each_path(&mut |column, path| each(column, path)));
}

impl Group {
    /// An empty group.
    pub(in crate::process) fn new(context: Context, error_mode: ErrorMode) -> Self {
        Self {
            context,
            error_mode,
            needs: Needs::of(context),
            conditions: Vec::new(),
            statements: Vec::new(),
        }
    }

    /// The context of a condition that says it by its paths.
    pub(in crate::process) fn context_of_condition(
        request: Request,
        text: &str,
    ) -> Result<Context, OttlError> {
        let node = parser::condition(text)?;
        inferred(request, |each| {
            node.each_path(&mut |column, path| each(column, path));
        })
    }

    /// The context of a statement that says it by its paths.
    pub(in crate::process) fn context_of_statement(
        request: Request,
        text: &str,
    ) -> Result<Context, OttlError> {
        let statement = parser::statement(text)?;
        inferred(request, |each| paths_of(&statement, each))
    }

    /// Adds a condition.
    pub(in crate::process) fn condition(&mut self, text: &str) -> Result<(), OttlError> {
        let node = parser::condition(text)?;
        let mut compiler = Compiler::new(self.context);
        self.conditions.push(compiler.condition(&node)?);
        self.needs.add(compiler.needs);
        Ok(())
    }

    /// Adds a statement.
    pub(in crate::process) fn statement(&mut self, text: &str) -> Result<(), OttlError> {
        let statement = parser::statement(text)?;
        let mut compiler = Compiler::new(self.context);
        self.statements
            .push(Statement::compile(&mut compiler, &statement)?);
        self.needs.add(compiler.needs);
        Ok(())
    }

    /// Whether a condition holds; `failed` counts those that cannot be evaluated and are let be.
    pub(in crate::process) fn any_holds(&self, at: &Levels<'_>, failed: &mut u64) -> Result<bool, Halt> {
        for condition in &self.conditions {
            match condition.holds(at) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(halt) => self.let_be(halt, failed)?,
            }
        }
        Ok(false)
    }

    /// Carries out the statements, if a condition holds or there is none.
    pub(in crate::process) fn run(&self, at: &mut Levels<'_>, failed: &mut u64) -> Result<(), Halt> {
        if !self.conditions.is_empty() && !self.any_holds(at, failed)? {
            return Ok(());
        }
        for statement in &self.statements {
            if let Err(halt) = statement.run(at) {
                self.let_be(halt, failed)?;
            }
        }
        Ok(())
    }

    /// A failure is let be where the configuration says so; bytes that are no protobuf never are.
    fn let_be(&self, halt: Halt, failed: &mut u64) -> Result<(), Halt> {
        match (&halt, self.error_mode) {
            (Halt::Malformed, _) | (_, ErrorMode::Propagate) => Err(halt),
            (Halt::Failed(why), ErrorMode::Ignore) => {
                *failed += 1;
                tracing::debug!(context = self.context.name(), %why, "a condition or statement failed");
                Ok(())
            }
            (Halt::Failed(_), ErrorMode::Silent) => {
                *failed += 1;
                Ok(())
            }
        }
    }
}

/// Groups that one way through a request carries out: from the outside to the inside, so that what one group
/// writes the next one reads.
#[derive(Debug, Default)]
pub(in crate::process) struct Pass {
    pub(in crate::process) groups: Vec<Group>,
    needs: Needs,
}

impl Pass {
    /// Takes the group, unless it must come after what this pass does further inside.
    pub(in crate::process) fn take(&mut self, group: Group) -> Result<(), Group> {
        let inner = self.groups.last().map(|last| last.context.level());
        if inner.is_some_and(|inner| inner > group.context.level()) {
            return Err(group);
        }
        self.needs.add(group.needs);
        self.groups.push(group);
        Ok(())
    }

    /// What the pass reads.
    pub(in crate::process) fn needs(&self) -> Needs {
        self.needs
    }

    /// The groups about what is visited.
    pub(in crate::process) fn at(&self, level: Level) -> impl Iterator<Item = &Group> {
        self.groups
            .iter()
            .filter(move |group| group.context.level() == level)
    }
}
