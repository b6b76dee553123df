//! The live terminal view.
//!
//! It borrows the terminal's other screen and gives it back however the demo ends: by its end, by a key, by
//! a signal or by a panic. What it shows is a pure function of the story, so it is tested without a
//! terminal.

use super::look::{FlagLook, ServiceLook};
use super::scene::{
    DEPLOYMENTS, FAILING_SERVICE, Phase, RULE_BURN_ABOVE, RULE_CONTRAST, RULE_WINDOW_SECS, SHORT_WINDOW_SECS,
};
use super::story::{Story, Tone, burn, left};
use crate::policy::AlertState;
use crate::publish::window_name;
use ratatui::crossterm::event::{self, Event as Input, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Cell, Gauge, Paragraph, Row, Sparkline, Table};
use ratatui::{DefaultTerminal, Frame};
use std::io;
use std::time::Duration;

/// From this height on there is room for the burn over time.
const TALL: u16 = 28;
const DONE: &str = "\u{25cf}";
const OPEN: &str = "\u{25cb}";

/// The terminal while the demo has it.
#[derive(Debug)]
pub(super) struct View {
    terminal: DefaultTerminal,
}

impl View {
    /// Takes the terminal's other screen.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            terminal: ratatui::try_init()?,
        })
    }

    /// Draws the story.
    pub(super) fn show(&mut self, story: &Story) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame, story)).map(|_| ())
    }

    /// Whether somebody has asked to leave.
    pub(super) fn wants_out() -> bool {
        while event::poll(Duration::ZERO).unwrap_or(false) {
            let Ok(Input::Key(key)) = event::read() else {
                continue;
            };
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            let leaves = match key.code {
                KeyCode::Char('q') | KeyCode::Esc => true,
                KeyCode::Char('c' | 'd') => control,
                _ => false,
            };
            if leaves && key.kind != KeyEventKind::Release {
                return true;
            }
        }
        false
    }
}

impl Drop for View {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// One picture.
pub(super) fn draw(frame: &mut Frame<'_>, story: &Story) {
    let trail_height = if frame.area().height >= TALL { 6 } else { 0 };
    let [title, steps, services, flags, trail, events, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(5),
        Constraint::Length(7),
        Constraint::Length(trail_height),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_title(frame, title, story);
    frame.render_widget(steps_line(story.phase), steps);
    draw_services(frame, services, &story.look.services);
    draw_flags(frame, flags, &story.look.flags);
    if trail_height > 0 {
        draw_trail(frame, trail, story);
    }
    draw_events(frame, events, story);
    let hint = format!(" curl {}    q leaves", story.api);
    frame.render_widget(Paragraph::new(hint).style(dim()), foot);
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, story: &Story) {
    let style = Style::new().fg(Color::Black).bg(Color::Cyan);
    let time = format!("{:.0} s of {} s ", story.seconds_at(story.now), story.limit_secs);
    frame.render_widget(Block::new().style(style), area);
    let name = " burngate demo: three services, two deployments, four armed flags";
    frame.render_widget(Line::styled(name, style.add_modifier(Modifier::BOLD)), area);
    frame.render_widget(Line::styled(time, style).right_aligned(), area);
}

fn steps_line(phase: Phase) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    for (step, name) in Phase::STEPS {
        let (mark, style) = match step.cmp(&phase) {
            std::cmp::Ordering::Less => (DONE, Style::new().fg(Color::Green)),
            std::cmp::Ordering::Equal if phase == Phase::Recovered => (DONE, good()),
            std::cmp::Ordering::Equal if phase == Phase::Failing => (DONE, bad()),
            std::cmp::Ordering::Equal => (DONE, Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD)),
            std::cmp::Ordering::Greater => (OPEN, dim()),
        };
        spans.push(Span::styled(format!("{mark} {name}   "), style));
    }
    Line::from(spans)
}

fn draw_services(frame: &mut Frame<'_>, area: Rect, services: &[ServiceLook]) {
    let promise = services.first().map_or_else(String::new, |s| {
        format!(
            "({} % of requests, {}) ",
            s.target * 100.0,
            window_name(s.period_secs)
        )
    });
    let block = block(&format!(" error budgets {promise}"));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let rows = Layout::vertical([Constraint::Length(1); 3]).split(inner);
    for (service, row) in services.iter().zip(rows.iter()) {
        draw_service(frame, *row, service);
    }
}

fn draw_service(frame: &mut Frame<'_>, area: Rect, service: &ServiceLook) {
    let [name, gauge, text] = Layout::horizontal([
        Constraint::Length(12),
        Constraint::Min(20),
        Constraint::Length(36),
    ])
    .areas(area);
    let color = match service.state {
        AlertState::NoData => Color::DarkGray,
        AlertState::Healthy => Color::Green,
        AlertState::SlowBurn => Color::Yellow,
        AlertState::FastBurn | AlertState::CriticalBurn | AlertState::BudgetExhausted => Color::Red,
    };
    frame.render_widget(Line::raw(format!(" {}", service.name)), name);
    let ratio = service.remaining.unwrap_or(0.0).clamp(0.0, 1.0);
    let label = Span::styled(left(service.remaining), Style::new().fg(Color::White));
    let filled = Gauge::default()
        .ratio(ratio)
        .label(label)
        .gauge_style(Style::new().fg(color).bg(Color::Black));
    frame.render_widget(filled, gauge);
    let requests = service.counts.good.saturating_add(service.counts.bad);
    let figures = format!(
        "  burn {:>5}  {requests:>6} req  {}",
        burn(service.burn),
        state_name(service.state)
    );
    frame.render_widget(Line::styled(figures, Style::new().fg(color)), text);
}

/// Short enough for a small terminal.
fn state_name(state: AlertState) -> &'static str {
    match state {
        AlertState::NoData => "no data",
        AlertState::Healthy => "healthy",
        AlertState::SlowBurn => "slow burn",
        AlertState::FastBurn => "fast burn",
        AlertState::CriticalBurn => "critical",
        AlertState::BudgetExhausted => "exhausted",
    }
}

fn draw_flags(frame: &mut Frame<'_>, area: Rect, flags: &[FlagLook]) {
    let header = [
        " flag",
        "switch",
        "requests",
        "burn on",
        "burn off",
        "contrast",
        DEPLOYMENTS[0],
        DEPLOYMENTS[1],
    ];
    let widths = [13, 6, 8, 7, 8, 8, 8, 8].map(Constraint::Length);
    let rows = flags.iter().map(flag_row);
    let table = Table::new(rows, widths)
        .header(Row::new(header).style(dim()))
        .block(block(&format!(
            " flags at {FAILING_SERVICE}, last {RULE_WINDOW_SECS} s (at the right: burn on, by deployment) "
        )));
    frame.render_widget(table, area);
}

fn flag_row(flag: &FlagLook) -> Row<'static> {
    let burning = flag.burn_on.is_some_and(|b| b > RULE_BURN_ABOVE);
    let hot = if burning {
        Style::new().fg(Color::Yellow)
    } else {
        Style::new()
    };
    let (switch, style) = if flag.enabled {
        ("on", Style::new().fg(Color::Green))
    } else {
        ("OFF", bad())
    };
    let contrast = match flag.contrast {
        None => "-".to_owned(),
        Some(c) if c > 99.0 => ">99".to_owned(),
        Some(c) => format!("{c:.1}"),
    };
    let stands_out = burning && flag.contrast.is_some_and(|c| c >= RULE_CONTRAST);
    let name = if stands_out || !flag.enabled {
        bad()
    } else {
        Style::new()
    };
    let requests = flag.on.good.saturating_add(flag.on.bad).to_string();
    let mut cells = vec![
        Cell::new(format!(" {}", flag.name)).style(name),
        Cell::new(switch).style(style),
        right(&requests, 8),
        right(&burn(flag.burn_on), 7).style(hot),
        right(&burn(flag.burn_off), 8),
        right(&contrast, 8).style(if stands_out { bad() } else { Style::new() }),
    ];
    cells.extend(flag.by_deployment.map(|b| right(&burn(b), 7)));
    Row::new(cells)
}

fn right(text: &str, width: usize) -> Cell<'static> {
    Cell::new(format!("{text:>width$}"))
}

fn draw_trail(frame: &mut Frame<'_>, area: Rect, story: &Story) {
    let block = block(&format!(
        " burn of {FAILING_SERVICE}, {SHORT_WINDOW_SECS} s window: {} ",
        burn(story.trail.last().copied())
    ));
    let width = usize::from(block.inner(area).width);
    let recent = story.trail.iter().skip(story.trail.len().saturating_sub(width));
    // Tenths, because the bars are integers.
    let bars: Vec<u64> = recent.map(|burn| tenths(*burn)).collect();
    let color = if story.phase == Phase::Failing {
        Color::Red
    } else {
        Color::Cyan
    };
    let line = Sparkline::default()
        .data(&bars)
        .max(bars.iter().copied().max().unwrap_or(0).max(100))
        .style(Style::new().fg(color));
    frame.render_widget(line.block(block), area);
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a small positive range"
)]
fn tenths(burn: f64) -> u64 {
    (burn * 10.0).clamp(0.0, 1e6) as u64
}

fn draw_events(frame: &mut Frame<'_>, area: Rect, story: &Story) {
    let block = block(" what happened ");
    let room = usize::from(block.inner(area).height);
    let newest = story.events.iter().skip(story.events.len().saturating_sub(room));
    let lines: Vec<Line<'_>> = newest
        .map(|event| {
            let style = match event.tone {
                Tone::Plain => Style::new(),
                Tone::Good => good(),
                Tone::Bad => bad(),
            };
            let time = Span::styled(format!("{:>6.1} s  ", story.seconds_at(event.at)), dim());
            Line::from(vec![time, Span::styled(event.text.clone(), style)])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn block(title: &str) -> Block<'static> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(dim())
        .title(title.to_owned())
}

fn dim() -> Style {
    Style::new().fg(Color::DarkGray)
}

fn good() -> Style {
    Style::new().fg(Color::Green).add_modifier(Modifier::BOLD)
}

fn bad() -> Style {
    Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::look::Look;
    use crate::cli::demo::scene::GUILTY;
    use crate::ledger::Counts;
    use crate::time::UnixNanos;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn story() -> Story {
        let at = UnixNanos::from_secs(1_000_000);
        let mut story = Story::new(at, 90, "http://127.0.0.1:8055/api/v1/budgets".into());
        story.phase = Phase::Failing;
        let flag = |name, enabled| FlagLook {
            name,
            enabled,
            on: Counts { good: 900, bad: 100 },
            burn_on: Some(20.0),
            burn_off: Some(0.2),
            contrast: Some(100.0),
            by_deployment: [Some(19.5), None],
        };
        let service = |name, remaining, state| ServiceLook {
            name,
            counts: Counts { good: 900, bad: 100 },
            burn: Some(20.0),
            remaining: Some(remaining),
            state,
            target: 0.995,
            period_secs: 3600,
        };
        let look = Look {
            services: vec![
                service("search", 0.87, AlertState::Healthy),
                service("checkout", -2.5, AlertState::BudgetExhausted),
            ],
            flags: vec![flag(GUILTY, false), flag("dark-mode", true)],
        };
        story.tell(at.plus_secs(3), Tone::Bad, "something broke");
        story.see(at.plus_secs(5), look);
        story
    }

    fn screen(width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &story())).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn a_small_terminal_shows_the_whole_story() {
        let small = screen(80, 24);
        for text in [
            "new-checkout",
            "OFF",
            "dark-mode",
            "overspent, -250 %",
            "exhausted",
            "99.5 % of requests, 1h",
            "87 % left",
            "something broke",
            "b7e03d5",
            ">99",
            "5 s of 90 s",
        ] {
            assert!(small.contains(text), "{text} in\n{small}");
        }
        assert!(!small.contains("10 s window"), "{small}");
    }

    #[test]
    fn a_tall_terminal_also_shows_the_burn_over_time() {
        assert!(screen(100, 30).contains("burn of checkout, 10 s window: 20.0"));
    }

    #[test]
    fn no_size_breaks_it() {
        for (width, height) in [(1, 1), (10, 5), (40, 12), (300, 90)] {
            screen(width, height);
        }
    }
}
