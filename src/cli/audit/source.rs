//! Where the record comes from: the store of a stopped gateway, or the API of a running one.

use crate::config::FileStorage;
use crate::store::{ChainRow, RedbStore};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Entries asked for at once.
const PAGE: usize = 500;
/// Bytes read of an answer.
const ANSWER_MAX: usize = 256 << 20;
/// Time that an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A reader of entries, page by page.
pub(super) enum Source {
    Store(Arc<RedbStore>),
    Api {
        url: reqwest::Url,
        client: reqwest::Client,
        runtime: tokio::runtime::Runtime,
    },
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

/// The store in `folder` (the default folder, if none is named); it must be there.
pub(super) fn open(folder: Option<&Path>) -> Result<Arc<RedbStore>, String> {
    let folder: PathBuf = folder.map_or_else(|| FileStorage::default().directory, Path::to_path_buf);
    if !RedbStore::is_in(&folder) {
        let folder = folder.display();
        return Err(format!(
            "there is no store in {folder}; name the file_storage.directory of the gateway with --data"
        ));
    }
    let store = RedbStore::open(&folder).map_err(|error| match error {
        crate::store::StoreError::InUse { path } => format!(
            "the store {} is in use: stop the gateway, or ask it with `burngate audit export --api URL`",
            path.display()
        ),
        error => error.to_string(),
    })?;
    Ok(Arc::new(store))
}

impl Source {
    /// The store in `folder`.
    pub(super) fn store(folder: Option<&Path>) -> Result<Self, String> {
        open(folder).map(Self::Store)
    }

    /// The gateway whose API is at `api`.
    pub(super) fn api(api: &str) -> Result<Self, String> {
        let url = format!("{}/api/v1/audit", api.trim_end_matches('/'));
        let url: reqwest::Url = url.parse().map_err(|e| format!("--api {api}: {e}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!(
                "--api {api}: expected something like http://127.0.0.1:8055"
            ));
        }
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(TIMEOUT)
            .user_agent(concat!("burngate-audit/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| format!("no HTTP client: {e}"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| format!("the system refuses a thread: {e}"))?;
        Ok(Self::Api { url, client, runtime })
    }

    /// The next entries after `after`; none at the end.
    pub(super) fn page(&self, after: u64) -> Result<Vec<ChainRow>, String> {
        match self {
            Self::Store(store) => {
                let trail = crate::store::Chain::rows_after(&**store, after, PAGE);
                trail.map_err(|error| error.to_string())
            }
            Self::Api { url, client, runtime } => {
                let mut url = url.clone();
                url.set_query(Some(&format!("after={after}&limit={PAGE}")));
                let body = runtime.block_on(get(client, url))?;
                let answer: Answer<'_> =
                    serde_json::from_slice(&body).map_err(|e| format!("the API's answer: {e}"))?;
                let row = |raw: &&RawValue| {
                    let numbered: Numbered = serde_json::from_str(raw.get()).map_err(|e| e.to_string())?;
                    Ok((numbered.seq, raw.get().as_bytes().to_vec()))
                };
                answer.entries.iter().map(row).collect()
            }
        }
    }
}

async fn get(client: &reqwest::Client, url: reqwest::Url) -> Result<Vec<u8>, String> {
    let failed = |error: reqwest::Error| error.to_string();
    let mut response = client.get(url).send().await.map_err(failed)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend(&chunk);
        if body.len() > ANSWER_MAX {
            return Err(format!("the API's answer has more than {ANSWER_MAX} bytes"));
        }
    }
    if !status.is_success() {
        return Err(format!(
            "the API answers {status}; is it a burngate with an audit record?"
        ));
    }
    Ok(body)
}
