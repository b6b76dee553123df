//! A profile as a flame graph: one SVG, no script, the whole text of a frame in its tooltip.
//!
//! Written here because the crate that draws them has a licence (CDDL) that this project does not take in.

use super::html::escaped;
use super::profile::Profile;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const WIDTH: f64 = 1200.0;
const ROW: f64 = 16.0;
/// Space above the frames, for the title.
const HEAD: f64 = 28.0;
/// Narrower frames are not drawn: nobody could see them.
const NARROWEST: f64 = 0.3;
/// Width of a letter, as good as it can be guessed.
const LETTER: f64 = 6.6;

#[derive(Debug, Default)]
struct Node<'a> {
    count: u64,
    inner: BTreeMap<&'a str, Node<'a>>,
}

impl Node<'_> {
    fn depth(&self) -> usize {
        1 + self.inner.values().map(Self::depth).max().unwrap_or(0)
    }
}

/// The picture.
pub(super) fn draw(profile: &Profile) -> String {
    let mut root = Node::default();
    for (stack, count) in profile.folded() {
        root.count += count;
        let mut node = &mut root;
        for frame in stack {
            node = node.inner.entry(frame).or_default();
            node.count += count;
        }
    }
    let height = HEAD + ROW * (root.depth() + 1) as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"monospace\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fafafa\"/>\n\
         <text x=\"4\" y=\"18\" font-size=\"14\">burngate: {} samples in {:.1} s</text>\n",
        profile.samples(),
        profile.took.as_secs_f64(),
    );
    let mut canvas = Canvas {
        svg: &mut svg,
        scale: WIDTH / root.count.max(1) as f64,
        total: root.count.max(1),
    };
    canvas.frame("all", &root, 0.0, 0);
    svg.push_str("</svg>\n");
    svg
}

struct Canvas<'a> {
    svg: &'a mut String,
    scale: f64,
    total: u64,
}

impl Canvas<'_> {
    fn frame(&mut self, name: &str, node: &Node<'_>, x: f64, depth: usize) {
        let width = node.count as f64 * self.scale;
        if width < NARROWEST {
            return;
        }
        let y = HEAD + ROW * depth as f64;
        let share = node.count as f64 * 100.0 / self.total as f64;
        let (shown, high) = (escaped(name), ROW - 1.0);
        let _ = write!(
            self.svg,
            "<g><title>{shown} ({count} samples, {share:.2} %)</title><rect x=\"{x:.1}\" y=\"{y:.0}\" width=\"{width:.1}\" \
             height=\"{high:.0}\" fill=\"{fill}\"/>",
            count = node.count,
            fill = colour(name),
        );
        let letters = name.chars().count();
        let room = letters.min(room(width));
        if room >= 3 {
            let cut: String = if room < letters {
                name.chars().take(room - 2).chain("..".chars()).collect()
            } else {
                name.to_owned()
            };
            let (x, y) = (x + 2.0, y + 11.0);
            let _ = write!(
                self.svg,
                "<text x=\"{x:.1}\" y=\"{y:.0}\">{}</text>",
                escaped(&cut)
            );
        }
        self.svg.push_str("</g>\n");
        let mut x = x;
        for (name, inner) in &node.inner {
            self.frame(name, inner, x, depth + 1);
            x += inner.count as f64 * self.scale;
        }
    }
}

/// Letters that fit in `width`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 200")]
fn room(width: f64) -> usize {
    (width / LETTER) as usize
}

/// A warm colour, the same for the same name.
fn colour(name: &str) -> String {
    let hash = crc32fast::hash(name.as_bytes());
    let (green, blue) = (80 + hash % 140, (hash >> 8) % 70);
    format!("#{:02x}{green:02x}{blue:02x}", 205 + (hash >> 16) % 50)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extend::profile::tests::small;

    #[test]
    fn widths_are_shares_and_names_are_escaped() {
        let svg = draw(&small());
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("<title>main (4 samples, 100.00 %)</title>"), "{svg}");
        assert!(
            svg.contains("<title>walk&lt;T&gt; (1 samples, 25.00 %)</title>"),
            "{svg}"
        );
        assert!(svg.contains("width=\"300.0\""), "{svg}");
        assert!(!svg.contains("walk<T>"));
        assert!(draw(&Profile::default()).contains("0 samples"));
    }
}
