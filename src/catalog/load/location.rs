//! Where data lies: a contract's `location` as an absolute URL without secrets. It opens nothing.

use std::path::Path;

use url::Url;

use crate::catalog::model::Location;
use crate::catalog::yaml::Field;

/// URL schemes that a Delta table can be opened from.
const SCHEMES: [&str; 10] = ["file", "s3", "s3a", "abfss", "abfs", "az", "azure", "adl", "gs", "wasbs"];

/// A location for data. A relative path starts in `base`, the folder that holds the catalog, and may leave it: the
/// operator's own files decide where data lies. The text itself never comes into a message, for it may hold a secret.
pub fn location(field: Field<'_>, base: &Path, credentials: Option<String>) -> Option<Location> {
    let text = field.text()?.text;
    let Some(scheme) = scheme(&text) else {
        let path = super::normalize(&base.join(text.trim_end_matches('/')));
        return if let Ok(url) = Url::from_file_path(&path) {
            Some(Location { url: url.into(), credentials })
        } else {
            field.error("this path cannot be written as a URL");
            None
        };
    };
    if !SCHEMES.contains(&scheme.as_str()) {
        let suggestion = Some(format!("known: a path, {}", SCHEMES.map(|s| format!("{s}://")).join(", ")));
        field.findings().error_with(field.mark(), format!("a table cannot lie at `{scheme}://`"), suggestion);
        return None;
    }
    let Ok(url) = Url::parse(&text) else {
        field.error("this is not a valid URL");
        return None;
    };
    if scheme == "file" {
        if url.host_str().is_some_and(|host| !host.is_empty()) || url.path() == "/" {
            field.error("a file URL has three slashes and a path: file:///…");
            return None;
        }
    } else if url.host_str().is_none_or(str::is_empty) {
        field.error("this URL names no bucket or account");
        return None;
    }
    secret_free(field, &url).then(|| Location { url: text.trim_end_matches('/').to_owned(), credentials })
}

/// Where something lies that is no table: opened by nobody here, so any scheme will do.
pub fn any_location(field: Field<'_>, base: &Path, credentials: Option<String>) -> Option<Location> {
    let foreign =
        field.text().is_some_and(|text| scheme(&text.text).is_some_and(|scheme| !SCHEMES.contains(&scheme.as_str())));
    if foreign { Some(Location { url: endpoint(field)?, credentials }) } else { location(field, base, credentials) }
}

/// An address for people and programs, such as a REST endpoint: kept as it is, if it holds no secret.
pub fn endpoint(field: Field<'_>) -> Option<String> {
    let text = field.text()?.text;
    match Url::parse(&text) {
        Ok(url) if !secret_free(field, &url) => None,
        _ => Some(text),
    }
}

/// Secrets come from the environment or a file, never from a contract, which is read by many.
fn secret_free(field: Field<'_>, url: &Url) -> bool {
    // abfss://container@account… writes the container where others write a user
    let container_first = matches!(url.scheme(), "abfss" | "abfs" | "wasbs");
    let user = !url.username().is_empty() && !container_first;
    let suspicious = |key: &str| {
        let key = key.to_ascii_lowercase();
        ["sig", "token", "secret", "password", "key", "credential"].iter().any(|word| key.contains(word))
    };
    let store = SCHEMES.contains(&url.scheme());
    let query = if store { url.query().is_some() } else { url.query_pairs().any(|(key, _)| suspicious(&key)) };
    if user || url.password().is_some() || query {
        let suggestion = Some("name the credentials with `credentials: NAME` and keep the secret out".to_owned());
        field.findings().error_with(field.mark(), "this address carries a secret", suggestion);
        return false;
    }
    if store && url.fragment().is_some() {
        field.error("a location has no fragment");
        return false;
    }
    true
}

/// `s3://…` → `s3`. A path has none, even where it holds a colon.
fn scheme(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    (valid && (rest.starts_with("//"))).then(|| scheme.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::catalog::yaml::{Findings, parse};

    fn read(text: &str) -> Result<String, String> {
        let findings = Findings::new(Path::new("f.yaml"));
        let node = parse(&format!("location: \"{text}\""), &findings).unwrap();
        let map = Field::root(&node, &findings).open_map().unwrap();
        let location = location(map.get("location").unwrap(), Path::new("/mesh"), None);
        let problems: Vec<String> = findings.into_problems().iter().map(ToString::to_string).collect();
        location.map(|l| l.url).ok_or_else(|| problems.join("\n"))
    }

    #[test]
    fn paths_become_file_urls_and_urls_stay() {
        for (text, url) in [
            ("sample_data/orders", "file:///mesh/sample_data/orders"),
            ("./sample_data//orders/", "file:///mesh/sample_data/orders"),
            ("../other/orders", "file:///other/orders"),
            ("/data/with space", "file:///data/with%20space"),
            ("../../../../../x", "file:///x"),
            ("s3://bucket/orders/", "s3://bucket/orders"),
            (
                "abfss://gold@lakesales.dfs.core.windows.net/customer_360",
                "abfss://gold@lakesales.dfs.core.windows.net/customer_360",
            ),
        ] {
            assert_eq!(read(text).as_deref(), Ok(url), "{text}");
        }
    }

    #[test]
    fn secrets_and_strange_schemes_are_refused_without_repeating_them() {
        for text in [
            "s3://AKIAhidden:hidden@bucket/x",
            "s3://hidden@bucket/x",
            "abfss://c:hidden@a.dfs.core.windows.net/x",
            "az://c/x?sv=1&sig=hidden",
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.starts_with("f.yaml:1:11: error: this address carries a secret"), "{problem}");
            assert!(!problem.contains("hidden"), "{problem}");
        }
        assert!(read("http://example.com/x").unwrap_err().contains("cannot lie at `http://`"));
        assert!(read("s3://").unwrap_err().contains("names no bucket"));
        assert!(read("file://relative/path").unwrap_err().contains("three slashes"));
        assert!(read("s3://bucket/x#y").unwrap_err().contains("no fragment"));
    }
}
