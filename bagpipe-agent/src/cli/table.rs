//! Tables for people, from the JSON that programs get.

use serde_json::Value;

/// A column: its title, and where in a row's JSON its text is.
pub(super) type Column = (&'static str, &'static str);

/// Columns of a screen.
const WIDTH: usize = 80;

/// Renders rows; columns are as wide as what is in them.
pub(super) fn render(columns: &[Column], rows: &[Value]) -> String {
    let header = columns.iter().map(|(title, _)| (*title).to_owned()).collect();
    let cells = rows.iter().map(|row| columns.iter().map(|(_, path)| cell(row.pointer(path))).collect());
    let lines: Vec<Vec<String>> = std::iter::once(header).chain(cells).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for line in &lines {
        let mut padded = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            padded.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(padded.trim_end());
        text.push('\n');
    }
    text
}

/// Renders one object, a line per column.
pub(super) fn render_one(columns: &[Column], value: &Value) -> String {
    let width = columns.iter().map(|(title, _)| title.len()).max().unwrap_or_default();
    columns.iter().map(|(title, path)| format!("{title:width$}  {}\n", cell(value.pointer(path)))).collect()
}

/// Breaks a text into lines of a screen, each behind an indentation.
pub(super) fn wrap(text: &str, indentation: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{indentation}{word}")),
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The text of a value.
pub(super) fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        // Some of what is shown came from peers: it must not speak to the terminal.
        Some(Value::String(text)) => text.replace(char::is_control, "\u{fffd}"),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::Array(members)) if members.is_empty() => "-".to_owned(),
        Some(Value::Array(members)) => {
            members.iter().map(|member| cell(Some(member))).collect::<Vec<_>>().join(",")
        }
        Some(Value::Object(members)) => members
            .iter()
            .map(|(key, value)| format!("{key}={}", cell(Some(value))))
            .collect::<Vec<_>>()
            .join(" "),
        Some(number) => number.to_string(),
    }
}
