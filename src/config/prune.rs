//! Takes what was left out of the pipelines that name it, and then what cannot be without it: a pipeline
//! without a receiver or exporter, a connector that nothing feeds or reads from any more.

use super::components::Components;
use super::pipelines::{Pipeline, Reference};
use super::section::Report;
use std::collections::BTreeSet;

/// Whether the component `id` of `kind` was left out.
fn is_gone(report: &Report, kinds: &[&str], id: &str) -> bool {
    kinds
        .iter()
        .any(|kind| report.is_dropped(&format!("{kind}.{id}")))
}

/// See the module. Nothing happens where nothing was left out.
pub(super) fn prune(pipelines: &mut Vec<Pipeline>, components: &mut Components, report: &Report) {
    let whole: BTreeSet<String> = components
        .connectors
        .iter()
        .map(|it| it.id.as_str())
        .filter(|id| pipelines.iter().any(|it| it.feeds(id)) && pipelines.iter().any(|it| it.reads(id)))
        .map(str::to_owned)
        .collect();
    while cut(pipelines, report) || loosen(pipelines, components, &whole, report) {}
    let gone = |path: &str| report.is_dropped(path);
    components.receivers.retain(|it| !gone(&it.path));
    components.processors.retain(|it| !gone(&it.path));
    components.exporters.retain(|it| !gone(&it.path));
    components.connectors.retain(|it| !gone(&it.path));
    components.extensions.retain(|it| !gone(&it.path));
}

/// Removes names from pipelines, and pipelines that lost all of their ends; true when something changed.
fn cut(pipelines: &mut Vec<Pipeline>, report: &Report) -> bool {
    let mut changed = false;
    for pipeline in pipelines.iter_mut() {
        let mut without = |list: &mut Vec<Reference>, kinds: &[&str]| {
            let before = list.len();
            list.retain(|it| !is_gone(report, kinds, &it.id));
            changed |= list.len() < before;
        };
        without(&mut pipeline.receivers, &["receivers", "connectors"]);
        without(&mut pipeline.processors, &["processors"]);
        without(&mut pipeline.exporters, &["exporters", "connectors"]);
    }
    if changed {
        pipelines.retain(|pipeline| {
            let missing = match (pipeline.receivers.is_empty(), pipeline.exporters.is_empty()) {
                (true, _) => "no receiver is left in it",
                (_, true) => "no exporter is left in it",
                (false, false) => return true,
            };
            report.drop_out(pipeline.at, &pipeline.path, missing);
            false
        });
    }
    changed
}

/// Leaves out connectors that lost an end; `error_budget` is kept, and refused: it is what the gateway is
/// for.
fn loosen(
    pipelines: &[Pipeline],
    components: &Components,
    whole: &BTreeSet<String>,
    report: &Report,
) -> bool {
    let mut changed = false;
    for connector in &components.connectors {
        let id = connector.id.as_str();
        let fed = pipelines.iter().any(|it| it.feeds(id));
        let read = pipelines.iter().any(|it| it.reads(id));
        let had_both = whole.contains(id) && !(fed && read);
        if had_both && connector.kind.name != "error_budget" && !report.is_dropped(&connector.path) {
            let missing = match (fed, read) {
                (true, _) => "no pipeline that reads from it is left",
                (_, true) => "no pipeline that feeds it is left",
                (false, false) => "no pipeline that names it is left",
            };
            report.drop_out(connector.at, &connector.path, missing);
            changed = true;
        }
    }
    changed
}
