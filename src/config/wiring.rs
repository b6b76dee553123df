//! Who feeds whom: looks up every name in a pipeline, and refuses what does not fit.
//!
//! A connector is an exporter of one pipeline and a receiver of another. `error_budget` takes telemetry and
//! gives `metrics` (budgets), `logs` (the record of decisions) and `decisions`.

use super::components::{Components, Defined};
use super::pipelines::{Carries, Pipeline, Reference};
use super::section::{Report, suggestion};
use super::types::{EXPORTERS, Type};

/// The pipelines, with what they name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wiring<'c> {
    pub(super) pipelines: &'c [Pipeline],
    pub(super) components: &'c Components,
    pub(super) report: &'c Report,
}

fn find<'c, T>(id: &str, all: &'c [Defined<T>]) -> Option<&'c Defined<T>> {
    all.iter().find(|it| it.id == id)
}

fn ids<T>(all: &[Defined<T>]) -> impl Iterator<Item = &str> {
    all.iter().map(|it| it.id.as_str())
}

impl Pipeline {
    /// Whether it reads from `id`.
    pub(super) fn reads(&self, id: &str) -> bool {
        self.receivers.iter().any(|it| it.id == id)
    }

    /// Whether it hands to `id`.
    pub(super) fn feeds(&self, id: &str) -> bool {
        self.exporters.iter().any(|it| it.id == id)
    }

    fn problem(&self, report: &Report, key: &str, reference: &Reference, message: &str) {
        report.problem(Some(reference.at), &format!("{}.{key}", self.path), message);
    }
}

impl Wiring<'_> {
    /// Whether `id` is a connector of type `kind`.
    fn is_connector(&self, id: &str, kind: &str) -> bool {
        find(id, &self.components.connectors).is_some_and(|it| it.kind.name == kind)
    }

    /// Whether all that `pipeline` carries are budgets, as they are: exporters that can publish them by
    /// themselves then do.
    pub(super) fn is_budgets_only(&self, pipeline: &Pipeline) -> bool {
        pipeline.processors.is_empty()
            && !pipeline.receivers.is_empty()
            && pipeline
                .receivers
                .iter()
                .all(|it| self.is_connector(&it.id, "error_budget"))
    }

    /// Everything that can be wrong with the graph.
    pub(super) fn check(&self) {
        self.check_names();
        self.check_connections();
        // Looking through connectors ends only where they do.
        if self.circle().is_none() {
            self.check_taps();
        }
    }

    /// Every name is defined and fits where it stands.
    fn check_names(&self) {
        self.check_ids();
        for pipeline in self.pipelines {
            for it in &pipeline.receivers {
                if let Err(message) = self.fits_as_receiver(pipeline, it) {
                    pipeline.problem(self.report, "receivers", it, &message);
                }
            }
            for it in &pipeline.processors {
                if let Err(message) = self.fits_as_processor(pipeline, it) {
                    pipeline.problem(self.report, "processors", it, &message);
                }
            }
            for it in &pipeline.exporters {
                if let Err(message) = self.fits_as_exporter(pipeline, it) {
                    pipeline.problem(self.report, "exporters", it, &message);
                }
            }
        }
    }

    /// A pipeline could not tell a connector from a receiver or exporter of the same name.
    fn check_ids(&self) {
        let all = self.components;
        for connector in &all.connectors {
            let other = find(&connector.id, &all.receivers).map(|it| &it.path);
            if let Some(other) = other.or(find(&connector.id, &all.exporters).map(|it| &it.path)) {
                let message = format!("the same id as {other}; give one of them a name, such as `forward/a`");
                self.report.problem(Some(connector.at), &connector.path, message);
            }
        }
    }

    fn fits_as_receiver(&self, pipeline: &Pipeline, it: &Reference) -> Result<(), String> {
        let (id, kind) = (&it.id, pipeline.carries.as_str());
        if let Some(connector) = find(id, &self.components.connectors) {
            return gives(id, connector.kind, kind);
        }
        if find(id, &self.components.receivers).is_none() {
            let known: Vec<&str> = ids(&self.components.receivers)
                .chain(ids(&self.components.connectors))
                .collect();
            return Err(undefined(id, "a receiver or connector", &known));
        }
        if pipeline.carries == Carries::Decisions {
            return Err("decisions come from the connector error_budget only".to_owned());
        }
        Ok(())
    }

    fn fits_as_processor(&self, pipeline: &Pipeline, it: &Reference) -> Result<(), String> {
        if pipeline.carries == Carries::Decisions {
            return Err("decisions go to their exporters as they are, without processors".to_owned());
        }
        if let Some(found) = find(&it.id, &self.components.processors) {
            takes(&it.id, found.kind, pipeline.carries.as_str())
        } else {
            let known: Vec<&str> = ids(&self.components.processors).collect();
            Err(undefined(&it.id, "a processor", &known))
        }
    }

    fn fits_as_exporter(&self, pipeline: &Pipeline, it: &Reference) -> Result<(), String> {
        let (id, kind) = (&it.id, pipeline.carries.as_str());
        if let Some(connector) = find(id, &self.components.connectors) {
            return takes(id, connector.kind, kind);
        }
        match find(id, &self.components.exporters) {
            Some(found) if pipeline.carries == Carries::Decisions && found.kind.takes != ["decisions"] => {
                let can = EXPORTERS.iter().filter(|kind| kind.takes == ["decisions"]);
                let can: Vec<&str> = can.map(|kind| kind.name).collect();
                Err(format!(
                    "`{id}` cannot carry out decisions; what can is {}",
                    can.join(", ")
                ))
            }
            Some(found) => takes(id, found.kind, kind),
            None => {
                let known: Vec<&str> = ids(&self.components.exporters)
                    .chain(ids(&self.components.connectors))
                    .collect();
                Err(undefined(id, "an exporter or connector", &known))
            }
        }
    }
}

fn undefined(id: &str, what: &str, known: &[&str]) -> String {
    format!("`{id}` is not {what} of this file; {}", suggestion(id, known))
}

fn takes<T>(id: &str, kind: &Type<T>, carried: &str) -> Result<(), String> {
    if kind.takes.contains(&carried) {
        return Ok(());
    }
    Err(format!("`{id}` takes {}, not {carried}", kind.takes.join(", ")))
}

fn gives<T>(id: &str, kind: &Type<T>, carried: &str) -> Result<(), String> {
    if kind.gives.contains(&carried) {
        return Ok(());
    }
    Err(format!(
        "`{id}` gives {}, not {carried}",
        kind.gives.join(" and ")
    ))
}
