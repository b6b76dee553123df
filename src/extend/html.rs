//! As much HTML as the pages need: tables, headings, links; everything escaped.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::fmt::Write as _;

/// Text that can stand in HTML, in quotes as well.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Text as part of a query.
fn in_query(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// One cell of a table.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    Text(String),
    /// What is shown, the path, and parameters of the query.
    Link(String, &'static str, Vec<(&'static str, String)>),
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Text(text) => out.push_str(&escaped(text)),
            Self::Link(text, path, parameters) => {
                let mut to = (*path).to_owned();
                for (nth, (name, value)) in parameters.iter().enumerate() {
                    let _ = write!(
                        to,
                        "{}{name}={}",
                        if nth == 0 { '?' } else { '&' },
                        in_query(value)
                    );
                }
                let _ = write!(out, "<a href=\"{}\">{}</a>", escaped(&to), escaped(text));
            }
        }
    }
}

/// A page that is being written.
#[derive(Debug)]
pub(super) struct Page(String);

impl Page {
    pub(super) fn new(title: &str) -> Self {
        let title = escaped(title);
        Self(format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>\
             body{{font:14px sans-serif;margin:2em}}table{{border-collapse:collapse;margin:0 0 1.5em}}\
             th,td{{border:1px solid #ccc;padding:.25em .6em;text-align:left;vertical-align:top}}\
             th{{background:#eee}}\
             </style></head><body>\n<h1>{title}</h1>\n"
        ))
    }

    pub(super) fn heading(&mut self, text: &str) {
        let _ = writeln!(self.0, "<h2>{}</h2>", escaped(text));
    }

    pub(super) fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.0, "<p>{}</p>", escaped(text));
    }

    pub(super) fn table(&mut self, head: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) {
        self.0.push_str("<table><tr>");
        for title in head {
            let _ = write!(self.0, "<th>{}</th>", escaped(title));
        }
        self.0.push_str("</tr>\n");
        for row in rows {
            self.0.push_str("<tr>");
            for cell in row {
                self.0.push_str("<td>");
                cell.write(&mut self.0);
                self.0.push_str("</td>");
            }
            self.0.push_str("</tr>\n");
        }
        self.0.push_str("</table>\n");
    }

    pub(super) fn finish(mut self) -> Response {
        self.0.push_str("</body></html>\n");
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'",
            ),
            (header::CACHE_CONTROL, "no-store"),
        ];
        (headers, self.0).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_where_it_stands() {
        let mut page = Page::new("<t>");
        let cell = Cell::Link(
            "a<b".to_owned(),
            "/debug/tracez",
            vec![("name", "x&y=\"z\"".to_owned())],
        );
        page.table(&["h&"], [vec![cell, Cell::text("<script>")]]);
        let Page(text) = page;
        assert!(
            text.contains("<h1>&lt;t&gt;</h1>") && text.contains("<th>h&amp;</th>"),
            "{text}"
        );
        assert!(
            text.contains("<a href=\"/debug/tracez?name=x%26y%3D%22z%22\">a&lt;b</a>"),
            "{text}"
        );
        assert!(text.contains("<td>&lt;script&gt;</td>"), "{text}");
    }
}
