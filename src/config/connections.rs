//! Connectors as edges between pipelines: both ends there, no circle, nothing counted twice.

use super::components::Defined;
use super::pipelines::Pipeline;
use super::types::ConnectorSettings;
use super::wiring::Wiring;

impl Wiring<'_> {
    /// Everything that only the whole graph shows. The names in it have been checked.
    pub(super) fn check_connections(&self) {
        for connector in &self.components.connectors {
            self.check_ends(connector);
        }
        self.check_one_budget();
        if let Some(circle) = self.circle() {
            let message = format!("a circle that telemetry would never leave: {circle}");
            self.report.problem(None, "service.pipelines", message);
        }
    }

    fn feeding<'s>(&'s self, id: &'s str) -> impl Iterator<Item = &'s Pipeline> {
        self.pipelines.iter().filter(move |it| it.feeds(id))
    }

    fn reading<'s>(&'s self, id: &'s str) -> impl Iterator<Item = &'s Pipeline> {
        self.pipelines.iter().filter(move |it| it.reads(id))
    }

    /// A connector connects: something feeds it and something reads from it.
    fn check_ends(&self, connector: &Defined<ConnectorSettings>) {
        let id = connector.id.as_str();
        let (fed, read) = (self.feeding(id).count() > 0, self.reading(id).count() > 0);
        let problem = |message: String| self.report.problem(Some(connector.at), &connector.path, message);
        match (fed, read, connector.kind.name) {
            (false, false, _) => {}
            (false, true, "error_budget") => {
                problem("no pipeline names it among its exporters, so nothing would be counted".to_owned());
            }
            (false, true, _) => {
                problem("no pipeline names it among its exporters, so nothing would come of it".to_owned());
            }
            (true, false, kind) => {
                let signal = if kind == "forward" { "traces" } else { "metrics" };
                problem(format!(
                    "no pipeline names it among its receivers; add `{signal}/budget: {{receivers: [{id}], ...}}`"
                ));
            }
            (true, true, "forward") => self.check_forward(id),
            (true, true, _) => {}
        }
    }

    /// What `forward` takes it gives, signal by signal.
    fn check_forward(&self, id: &str) {
        for pipeline in self.feeding(id) {
            if self.reading(id).all(|it| it.carries != pipeline.carries) {
                let kind = pipeline.carries.as_str();
                let message = format!("no {kind} pipeline reads from `{id}`: what it takes goes nowhere");
                let path = format!("{}.exporters", pipeline.path);
                self.report.problem(Some(pipeline.at), &path, message);
            }
        }
        for pipeline in self.reading(id) {
            if self.feeding(id).all(|it| it.carries != pipeline.carries) {
                let kind = pipeline.carries.as_str();
                let message = format!("no {kind} pipeline feeds `{id}`, and it gives only what it takes");
                let path = format!("{}.receivers", pipeline.path);
                self.report.problem(Some(pipeline.at), &path, message);
            }
        }
    }

    /// Objectives are counted in one place.
    fn check_one_budget(&self) {
        let budgets = self.components.connectors.iter();
        let mut used =
            budgets.filter(|it| it.kind.name == "error_budget" && self.feeding(&it.id).count() > 0);
        if let (Some(first), Some(second)) = (used.next(), used.next()) {
            let message = format!(
                "a second error_budget; one counts everything, name `{}` in every pipeline",
                first.id
            );
            self.report.problem(Some(second.at), &second.path, message);
        }
    }

    /// Pipelines that read what `pipeline` hands to the connector `id`.
    fn after<'s>(&'s self, pipeline: &'s Pipeline, id: &'s str) -> impl Iterator<Item = usize> {
        let forwards = self.is_forward(id);
        let all = self.pipelines.iter().enumerate();
        all.filter(move |(_, it)| it.reads(id) && (!forwards || it.carries == pipeline.carries))
            .map(|(nth, _)| nth)
    }

    pub(super) fn is_forward(&self, id: &str) -> bool {
        let mut all = self.components.connectors.iter();
        all.any(|it| it.id == id && it.kind.name == "forward")
    }

    /// The first circle of pipelines and connectors, as a reader would draw it.
    pub(super) fn circle(&self) -> Option<String> {
        let mut done = vec![false; self.pipelines.len()];
        (0..self.pipelines.len()).find_map(|start| self.walk(start, &mut Vec::new(), &mut done))
    }

    fn walk<'s>(&'s self, at: usize, way: &mut Vec<(usize, &'s str)>, done: &mut [bool]) -> Option<String> {
        if let Some(first) = way.iter().position(|(before, _)| *before == at) {
            let drawn: Vec<String> = way[first..]
                .iter()
                .map(|(nth, connector)| format!("{} -> {connector}", self.pipelines[*nth].id))
                .collect();
            return Some(format!("{} -> {}", drawn.join(" -> "), self.pipelines[at].id));
        }
        if done[at] {
            return None;
        }
        let pipeline = &self.pipelines[at];
        // A receiver may have the name of an exporter; only connectors lead on.
        let connectors = &self.components.connectors;
        let leads = |id: &str| connectors.iter().any(|it| it.id == id);
        for exporter in pipeline.exporters.iter().filter(|it| leads(&it.id)) {
            for next in self.after(pipeline, &exporter.id) {
                way.push((at, &exporter.id));
                let found = self.walk(next, way, done);
                way.pop();
                if found.is_some() {
                    return found;
                }
            }
        }
        done[at] = true;
        None
    }
}
