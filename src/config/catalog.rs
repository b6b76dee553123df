//! The components that run here, for people and programs: what `burngate components` lists.

use super::types::{CONNECTORS, EXPORTERS, EXTENSIONS, PROCESSORS, RECEIVERS, Type};

/// One type of component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComponentInfo {
    /// `receivers`, `processors`, `exporters`, `connectors` or `extensions`.
    pub kind: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// What else people write: the Collector's older or newer name.
    pub aliases: &'static [&'static str],
    /// The pipelines that it takes part in; for a connector, those that feed it.
    pub takes: &'static [&'static str],
    /// The pipelines that read from it, for a connector.
    pub gives: &'static [&'static str],
    /// How firm its keys are, in the Collector's words.
    pub stability: &'static str,
}

/// All of them, by kind.
pub fn components() -> Vec<ComponentInfo> {
    fn of<T>(kind: &'static str, types: &'static [Type<T>]) -> impl Iterator<Item = ComponentInfo> {
        types.iter().map(move |it| ComponentInfo {
            kind,
            name: it.name,
            aliases: it.aliases,
            takes: it.takes,
            gives: it.gives,
            stability: it.stability,
        })
    }
    of("receivers", RECEIVERS)
        .chain(of("processors", PROCESSORS))
        .chain(of("exporters", EXPORTERS))
        .chain(of("connectors", CONNECTORS))
        .chain(of("extensions", EXTENSIONS))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_means_two_things() {
        let mut names: Vec<(&str, &str)> = components()
            .iter()
            .flat_map(|it| {
                std::iter::once(it.name)
                    .chain(it.aliases.iter().copied())
                    .map(|name| (it.kind, name))
            })
            .collect();
        let before = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), before);
    }
}
