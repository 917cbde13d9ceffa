//! The looking glass in HTTP: a path of names, and links that lead back to the host that was asked.

use hyper::header::HOST;
use hyper::http::request::Parts;

use super::LookRequest;

const ROOT: &str = "/looking-glass";

/// Whether a path is one of the looking glass.
pub(super) fn is_in(path: &str) -> bool {
    path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(super) fn request(head: &Parts) -> LookRequest {
    let path = head.uri.path().strip_prefix(ROOT).unwrap_or_default();
    let path = path.split('/').filter(|name| !name.is_empty()).map(unquoted).collect();
    // Without a host, as in HTTP/1.0, links are relative to the one that was asked.
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| is_authority(host));
    let root = host.map_or_else(|| ROOT.to_owned(), |host| format!("http://{host}{ROOT}"));
    LookRequest { path, root }
}

/// Whether a text can be a host with a port (RFC 3986 §3.2); anything else would make other links of it.
fn is_authority(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._:[]".contains(&octet))
}

/// A name without percent-encoding (RFC 3986 §2.1).
fn unquoted(name: &str) -> String {
    let mut octets = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [octet, after @ ..] = rest {
        let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        rest = match (octet, after) {
            (b'%', [high, low, beyond @ ..]) if let (Some(high), Some(low)) = (digit(*high), digit(*low)) => {
                octets.push(high << 4 | low);
                beyond
            }
            _ => {
                octets.push(*octet);
                after
            }
        };
    }
    String::from_utf8_lossy(&octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str, host: Option<&str>) -> LookRequest {
        let mut request = hyper::Request::builder().uri(path);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        super::request(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_path_is_names_and_the_root_is_that_of_the_host() {
        let request = asked("/looking-glass/vpns/instances//a%2Fb%20%c3%a9%zz%", Some("[::1]:8082"));
        assert_eq!(request.path, ["vpns", "instances", "a/b é%zz%"]);
        assert_eq!(request.root, "http://[::1]:8082/looking-glass");
        assert_eq!(asked("/looking-glass", None).root, "/looking-glass");
        assert_eq!(asked("/looking-glass/", Some("x/y\"")).root, "/looking-glass");
        assert!(asked("/looking-glass/", Some("x")).path.is_empty());
    }

    #[test]
    fn only_its_own_paths_are_its() {
        assert!(is_in("/looking-glass") && is_in("/looking-glass/") && is_in("/looking-glass/x"));
        assert!(!is_in("/looking-glasses") && !is_in("/looking"));
    }
}
