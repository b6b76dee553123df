//! `cors` of the HTTP receiver: which web pages may send from a browser.

use super::section::Section;

/// Cross-origin requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// Origins, one `*` in each for anything: `https://*.example.com`. Empty turns CORS off.
    pub allowed_origins: Vec<String>,
    /// Request headers beside those that are always allowed; `*` for any.
    pub allowed_headers: Vec<String>,
    /// Headers of an answer that a page may read.
    pub exposed_headers: Vec<String>,
    /// How long a browser may remember the answer to a preflight, in seconds; zero leaves it to the browser.
    pub max_age_secs: u64,
}

impl Cors {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("allowed_origins", &mut it.allowed_origins);
        section.field("allowed_headers", &mut it.allowed_headers);
        section.field("exposed_headers", &mut it.exposed_headers);
        // A number of seconds, as in the Collector.
        section.ranged("max_age", &mut it.max_age_secs, 0..=86_400);
        if it
            .allowed_origins
            .iter()
            .any(|origin| origin.matches('*').count() > 1)
        {
            section.problem("allowed_origins", "an origin may have one `*`");
        }
        section.finish();
        it
    }
}
