//! Who may ask: those who know the token, where one is set, and no page of another site.

use std::path::Path;
use std::sync::Arc;

use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::{Method, StatusCode};

use super::failure::Failure;

/// What a client over TCP has to say.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<[u8]>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Octets of a token, at least: shorter ones can be guessed.
const SHORTEST: usize = 16;

/// Why a token cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token from {0}: {1}; check api.token_file")]
    Read(String, std::io::Error),
    /// It is no token.
    #[error(
        "{0} holds no token: one line of {SHORTEST} printable characters or more is needed, such as `openssl rand -hex 32` \
         prints"
    )]
    Weak(String),
}

impl Token {
    /// Reads the token that is the only line of a file.
    ///
    /// # Errors
    /// There is none.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let shown = || path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| TokenError::Read(shown(), error))?;
        let token = text.trim();
        if token.len() < SHORTEST || !token.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(TokenError::Weak(shown()));
        }
        Ok(Self(token.as_bytes().into()))
    }

    /// Whether a request has it. How long that takes says nothing of where a wrong one differs.
    fn is_in(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        let Some((scheme, given)) = given.split_at_checked(b"Bearer ".len()) else { return false };
        let differs = given.iter().zip(self.0.iter()).fold(0, |differs, (one, other)| differs | one ^ other);
        scheme.eq_ignore_ascii_case(b"Bearer ") && given.len() == self.0.len() && differs == 0
    }
}

/// Refuses who may not ask.
pub(super) fn check(token: Option<&Token>, method: &Method, headers: &HeaderMap) -> Result<(), Failure> {
    if token.is_some_and(|token| !token.is_in(headers)) {
        let description = "This agent wants the token of [api] token_file, as Authorization: Bearer TOKEN";
        return Err(Failure::new(StatusCode::UNAUTHORIZED, description));
    }
    // A browser lets any page post to this host, and says which page it is.
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let foreign = text(ORIGIN).filter(|origin| {
        let host = origin.split_once("://").map(|(_, host)| host);
        host.is_none() || host != text(HOST)
    });
    match foreign {
        Some(origin) if method == Method::POST => {
            let description = format!("Requests of pages of {origin} are not taken");
            Err(Failure::new(StatusCode::FORBIDDEN, description))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = Token(b"0123456789abcdef"[..].into());
        let refused = |value| check(Some(&token), &Method::GET, &headers(&[(AUTHORIZATION, value)])).is_err();
        assert!(!refused("Bearer 0123456789abcdef") && !refused("bearer 0123456789abcdef"));
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Basic 0123456789abcdef",
        ] {
            assert!(refused(wrong), "{wrong}");
        }
        assert!(check(Some(&token), &Method::GET, &HeaderMap::new()).is_err());
        assert_eq!(format!("{token:?}"), "(hidden)");
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let from = |method: &Method, origin| {
            check(None, method, &headers(&[(HOST, "127.0.0.1:8082"), (ORIGIN, origin)])).is_ok()
        };
        assert!(from(&Method::POST, "http://127.0.0.1:8082"));
        assert!(!from(&Method::POST, "http://example.org") && !from(&Method::POST, "null"));
        assert!(from(&Method::GET, "http://example.org"));
        assert!(check(None, &Method::POST, &HeaderMap::new()).is_ok());
    }

    #[test]
    fn a_token_is_one_long_line() {
        let path = std::env::temp_dir().join(format!("bagpipe-token-{}", std::process::id()));
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let token = Token::read(&path);
            std::fs::remove_file(&path).unwrap();
            token
        };
        assert_eq!(read("0123456789abcdef\n").unwrap(), Token(b"0123456789abcdef"[..].into()));
        assert!(matches!(read("short"), Err(TokenError::Weak(_))));
        assert!(matches!(read("0123456789abcdef\nmore"), Err(TokenError::Weak(_))));
        assert!(matches!(Token::read(&path), Err(TokenError::Read(..))));
    }
}
