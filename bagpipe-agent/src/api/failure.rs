//! What goes wrong, in HTTP: JSON for those who ask for it, a page for the others.

use std::fmt::Write;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// A response that is not a success.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    description: String,
    allow: Option<&'static str>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, description: impl Into<String>) -> Self {
        Self { status, description: description.into(), allow: None }
    }

    /// A request that cannot be granted.
    pub(super) fn refused(description: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("API error: {description}"))
    }

    /// A path that has other methods (RFC 9110 §15.5.6).
    pub(super) fn method(allow: &'static str) -> Self {
        let description = format!("This path has the methods {allow}");
        Self { status: StatusCode::METHOD_NOT_ALLOWED, description, allow: Some(allow) }
    }

    pub(super) fn response(self, asked: &HeaderMap) -> Response<Full<Bytes>> {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let (kind, body) = if wants_json(asked) {
            let error = Error { code: self.status.as_u16(), title, description: &self.description };
            ("application/json", serde_json::to_string(&error).unwrap_or_default())
        } else {
            ("text/html; charset=utf-8", page(self.status.as_u16(), title, &self.description))
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = self.allow {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

#[derive(Serialize)]
struct Error<'a> {
    code: u16,
    title: &'a str,
    description: &'a str,
}

/// Whether `Accept` names JSON; a wildcard does not ask for it, as it did not of bagpipe-bgp.
fn wants_json(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|media| media.split(';').next())
        .any(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

fn page(code: u16, title: &str, description: &str) -> String {
    let mut page =
        format!("<html><head><title>{code} {title}</title></head><body><h1>{code} {title}</h1><p>");
    for character in description.chars() {
        match character {
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '&' => page.push_str("&amp;"),
            '"' => page.push_str("&quot;"),
            character => drop(page.write_char(character)),
        }
    }
    page.push_str("</p></body></html>\n");
    page
}
