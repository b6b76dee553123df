//! What zpages show of the configuration: set by the gateway, again at each reload.

use crate::config::Config;

/// What runs, as the file names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// The telemetry pipelines.
    pub pipelines: Vec<PipelineRow>,
    /// What `service.extensions` names, and where it listens.
    pub extensions: Vec<(String, String)>,
    /// Facts about the service: where its configuration came from, its store.
    pub service: Vec<(String, String)>,
}

/// One pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelineRow {
    /// Such as `traces` or `metrics/budget`.
    pub id: String,
    /// Receivers and connectors.
    pub receivers: Vec<String>,
    /// Processors, in order.
    pub processors: Vec<String>,
    /// Exporters and connectors.
    pub exporters: Vec<String>,
}

impl Pages {
    /// What `config` says.
    pub fn of(config: &Config) -> Self {
        let rows = config.graph.pipelines.iter().map(|it| PipelineRow {
            id: it.id.clone(),
            receivers: it.receivers.clone(),
            processors: it.processors.clone(),
            exporters: it.exporters.clone(),
        });
        let listening = [
            ("health_check", config.health.as_ref().map(|it| it.endpoint)),
            ("api", config.api.as_ref().map(|it| it.endpoint)),
            ("pprof", config.pprof.as_ref().map(|it| it.endpoint)),
            ("zpages", config.zpages.as_ref().map(|it| it.endpoint)),
        ];
        let mut extensions: Vec<_> = listening
            .into_iter()
            .filter_map(|(name, endpoint)| Some((name.to_owned(), endpoint?.to_string())))
            .collect();
        let store = config
            .storage
            .as_ref()
            .map(|it| it.directory.display().to_string());
        extensions.extend(store.clone().map(|folder| ("file_storage".to_owned(), folder)));
        Self {
            pipelines: rows.collect(),
            extensions,
            service: vec![
                ("configuration".to_owned(), config.source()),
                (
                    "store".to_owned(),
                    store.unwrap_or_else(|| "memory only".to_owned()),
                ),
            ],
        }
    }
}
