//! "Read your files again": the gateway's word to every receiver.

use tokio::sync::watch;

/// A bell that all receivers hear. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Reload(watch::Sender<()>);

impl Default for Reload {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl Reload {
    /// Rings: certificates, tokens and password files are read again at once.
    pub fn ring(&self) {
        self.0.send_replace(());
    }

    pub(super) fn hear(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}
