//! The syntax of bagpipe-bgp's configuration file: sections, and `key = value` in them.

use super::error::{Problem, ProblemKind};

/// An option and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) section: String,
    pub(super) key: String,
    pub(super) value: String,
    /// Line number, from 1.
    pub(super) line: usize,
}

/// All options in the order of the file, and the lines that are none.
pub(super) fn parse(text: &str) -> (Vec<Entry>, Vec<Problem>) {
    let (mut entries, mut problems): (Vec<Entry>, Vec<Problem>) = (Vec::new(), Vec::new());
    let mut section: Option<String> = None;
    let mut continues = false;
    for (line, content) in (1..).zip(text.lines()) {
        let trimmed = content.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continues &= !trimmed.is_empty();
            continue;
        }
        if content.starts_with([' ', '\t']) && continues {
            if let Some(entry) = entries.last_mut() {
                entry.value = format!("{} {trimmed}", entry.value).trim().to_owned();
            }
            continue;
        }
        continues = false;
        let heading = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(name) = heading {
            section = Some(name.trim().to_owned());
            continue;
        }
        match (&section, trimmed.split_once(['=', ':'])) {
            (Some(section), Some((key, value))) if !key.trim().is_empty() => {
                let entry = Entry {
                    section: section.clone(),
                    key: key.trim().to_owned(),
                    value: unquoted(value.trim()).to_owned(),
                    line,
                };
                entries.push(entry);
                continues = true;
            }
            _ => problems.push(Problem {
                line,
                key: trimmed.chars().take(40).collect(),
                kind: ProblemKind::Value {
                    cause: "neither a section nor an option of one".to_owned(),
                    remedy: "write [SECTION], and KEY = VALUE below it".to_owned(),
                },
            }),
        }
    }
    (entries, problems)
}

fn unquoted(value: &str) -> &str {
    let inner = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_with_their_sections_and_lines() {
        let text = "# heading\n[BGP]\npeers = 1.2.3.4,\n  5.6.7.8\n\n; more\n[API]\nhost: \"x\"\nport='80'\n";
        let (entries, problems) = parse(text);
        let shown: Vec<_> = entries
            .iter()
            .map(|it| (it.section.as_str(), it.key.as_str(), it.value.as_str(), it.line))
            .collect();
        assert_eq!(
            shown,
            [("BGP", "peers", "1.2.3.4, 5.6.7.8", 3), ("API", "host", "x", 8), ("API", "port", "80", 9)]
        );
        assert!(problems.is_empty());
    }

    #[test]
    fn what_is_no_option_is_told() {
        let lines: Vec<_> =
            parse("early = 1\n[A]\nword\n = 2\n  more\n").1.into_iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [1, 3, 4, 5]);
    }
}
