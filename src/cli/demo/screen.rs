//! Where the story is shown: the terminal view, or plain lines.

use super::plain::Plain;
use super::story::Story;
use super::view::View;
use std::io::IsTerminal;

/// See the module.
#[derive(Debug)]
pub(super) enum Screen {
    /// The terminal's other screen.
    View(Box<View>),
    /// Lines.
    Plain(Plain),
}

impl Screen {
    /// The view if there is a terminal for it and nobody asked for lines.
    pub(super) fn open(plain: bool) -> Self {
        let terminal = !plain && std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
        match terminal.then(View::open) {
            Some(Ok(view)) => Self::View(Box::new(view)),
            // A terminal that cannot do it still shows lines.
            _ => Self::Plain(Plain::default()),
        }
    }

    /// Shows the story.
    pub(super) fn show(&mut self, story: &Story) {
        match self {
            Self::Plain(plain) => plain.show(story),
            Self::View(view) => {
                if let Err(error) = view.show(story) {
                    tracing::warn!(%error, "the terminal cannot be drawn on; lines from here on");
                    *self = Self::Plain(Plain::default());
                }
            }
        }
    }

    /// Whether somebody has pressed a key to leave.
    pub(super) fn wants_out(&self) -> bool {
        matches!(self, Self::View(_)) && View::wants_out()
    }
}
