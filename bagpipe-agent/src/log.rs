//! Logs: one line per event worth a person's attention, on standard error; the last warnings are kept to be shown.

use std::collections::VecDeque;
use std::fmt;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt as lines};

/// The environment variable that says what is logged, such as `debug` or `bagpipe_agent::peer=trace`.
pub const FILTER_VARIABLE: &str = "BAGPIPE_LOG";

/// How many warnings and errors are kept.
const KEPT: usize = 100;

static RECENT: Mutex<VecDeque<Record>> = Mutex::new(VecDeque::new());

/// A warning or an error.
#[derive(Clone, Debug)]
pub struct Record {
    /// When.
    pub time: SystemTime,
    /// Which of both.
    pub level: Level,
    /// The module that it is from.
    pub target: &'static str,
    /// What it says.
    pub message: String,
}

/// Starts logging. A filter that cannot be read is told of and replaced by `info`.
pub fn init() {
    let asked = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let (filter, complaint) = match EnvFilter::builder().parse(if asked.is_empty() { "info" } else { &asked })
    {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let lines = lines::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let installed = tracing_subscriber::registry().with(filter).with(lines).with(Keep).try_init();
    if let (Ok(()), Some(error)) = (installed, complaint) {
        tracing::warn!("{FILTER_VARIABLE}: {error}; logging at level info");
    }
}

/// The last warnings and errors, oldest first.
#[must_use]
pub fn recent() -> Vec<Record> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// Keeps warnings and errors.
struct Keep;

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        if level > Level::WARN {
            return;
        }
        let mut message = Message::default();
        event.record(&mut message);
        let record = Record { time: SystemTime::now(), level, target, message: message.0 };
        let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == KEPT {
            recent.pop_front();
        }
        recent.push_back(record);
    }
}

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// A time as `2026-01-31 23:59:59` in UTC, and its milliseconds.
#[must_use]
pub fn utc(time: SystemTime) -> (String, u32) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let text = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    (text, since.subsec_millis())
}

/// Year, month and day of a number of days after 1970 began. Years are counted from March here, so that the day
/// that is not in each of them comes last.
const fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_BEFORE_1970: u64 = 719_468;
    const FOUR_CENTURIES: u64 = 146_097;
    let days = days + DAYS_BEFORE_1970;
    let (era, day) = (days / FOUR_CENTURIES, days % FOUR_CENTURIES);
    let year = (day - day / 1460 + day / 36_524 - day / (FOUR_CENTURIES - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_709_251_200, "2024-03-01 00:00:00"),
            (4_107_542_399, "2100-02-28 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7)), (text.to_owned(), 7));
        }
    }

    #[test]
    fn the_last_warnings_are_kept() {
        let subscriber = tracing_subscriber::registry().with(Keep);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("nothing to keep");
            for number in 0..=KEPT {
                tracing::warn!("warning {number}");
            }
            tracing::error!("the end");
        });
        let kept = recent();
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept.first().map(|record| record.message.as_str()), Some("warning 2"));
        assert!(
            kept.last().is_some_and(|record| record.level == Level::ERROR && record.message == "the end")
        );
    }
}
