//! Object stores and the named credentials that open them.
//!
//! Credentials come from the environment (`PGMESH_CREDENTIALS_<NAME>_<OPTION>`, upper case) or from a TOML file
//! (`[credentials.NAME] option = "…"`), never from a contract. Option names are object_store's: `access_key_id`,
//! `account_key`, `service_account_key`, `endpoint`, … A location without credentials uses the environment's own
//! (`AWS_…`, `AZURE_…`, `GOOGLE_…`); one with credentials uses nothing but those.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, ObjectStoreScheme, RetryConfig};
use url::Url;

use super::error::{DeltaError, scrub};
use super::table::TableLocation;

/// How long a connection may take to be established.
const CONNECT_TIMEOUT: &str = "3s";
/// How long one request may take, its body included: a row group over a slow line.
const REQUEST_TIMEOUT: &str = "30s";
/// How often a failed request is tried again.
const RETRIES_MAX: usize = 3;
/// After this time no further attempt is made.
const RETRY_TIMEOUT: Duration = Duration::from_secs(8);

const ENVIRONMENT_PREFIX: &str = "PGMESH_CREDENTIALS_";

/// Named credentials, and the clients that are open with them.
#[derive(Default)]
pub struct Stores {
    /// By normalised name, then by option in lower case.
    credentials: BTreeMap<String, Options>,
    /// Tables of one bucket and one name share a client and its connections.
    clients: Mutex<HashMap<ClientKey, Weak<dyn ObjectStore>>>,
}

type Options = BTreeMap<String, String>;

/// Scheme and authority of a location, and the normalised name of its credentials.
type ClientKey = (String, Option<String>);

/// A table's folder in a store.
pub(super) struct Folder {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) path: Path,
    pub(super) lists_in_order: bool,
}

impl Stores {
    /// Reads credentials from variables (`std::env::vars()`) and the text of a TOML file. Where both name an option,
    /// the environment wins.
    pub fn new(
        variables: impl IntoIterator<Item = (String, String)>,
        toml_text: Option<&str>,
    ) -> Result<Self, DeltaError> {
        let mut credentials = toml_text.map(from_toml).transpose()?.unwrap_or_default();
        for (variable, value) in variables {
            if let Some((name, option)) = split_variable(&variable) {
                credentials.entry(name).or_default().insert(option, value);
            }
        }
        Ok(Self { credentials, clients: Mutex::default() })
    }

    /// The folder of a location. Makes no request.
    pub(super) fn folder(&self, location: &TableLocation) -> Result<Folder, DeltaError> {
        let url = Url::parse(&location.url).map_err(|e| DeltaError::InvalidLocation { reason: e.to_string() })?;
        if !url.username().is_empty() && url.password().is_some() || url.query().is_some() {
            return Err(DeltaError::InvalidLocation { reason: "a location holds no password and no query".into() });
        }
        let (scheme, path) = ObjectStoreScheme::parse(&url).map_err(|_| unsupported_scheme(&url))?;
        let path = match scheme {
            // decodes as the operating system's own, and refuses hosts
            ObjectStoreScheme::Local => local_path(&url)?,
            _ => path,
        };
        let lists_in_order =
            !matches!(scheme, ObjectStoreScheme::Local) && !url.host_str().is_some_and(|h| h.contains("-x-s3"));
        let store = self.client(&url, &scheme, location.credentials.as_deref())?;
        Ok(Folder { store, path, lists_in_order })
    }

    fn client(
        &self,
        url: &Url,
        scheme: &ObjectStoreScheme,
        name: Option<&str>,
    ) -> Result<Arc<dyn ObjectStore>, DeltaError> {
        let key = (url[..url::Position::BeforePath].to_owned(), name.map(normalised));
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key).and_then(Weak::upgrade) {
            return Ok(client);
        }
        clients.retain(|_, client| client.strong_count() > 0);
        let client = build(url, scheme, name, self.options(name)?)?;
        clients.insert(key, Arc::downgrade(&client));
        Ok(client)
    }

    fn options(&self, name: Option<&str>) -> Result<Option<&Options>, DeltaError> {
        let Some(name) = name else { return Ok(None) };
        match self.credentials.get(&normalised(name)) {
            Some(options) => Ok(Some(options)),
            None => Err(DeltaError::Credentials { name: name.to_owned(), reason: "they are not configured".into() }),
        }
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.credentials.keys().collect();
        f.debug_struct("Stores").field("credentials", &names).finish_non_exhaustive()
    }
}

fn build(
    url: &Url,
    scheme: &ObjectStoreScheme,
    name: Option<&str>,
    options: Option<&Options>,
) -> Result<Arc<dyn ObjectStore>, DeltaError> {
    let unknown = |option: &str| DeltaError::Credentials {
        name: name.unwrap_or("environment").to_owned(),
        reason: format!("a store of this kind has no option \"{option}\""),
    };
    let limits = [(ClientConfigKey::ConnectTimeout, CONNECT_TIMEOUT), (ClientConfigKey::Timeout, REQUEST_TIMEOUT)];
    /// The three builders are alike and share no trait.
    macro_rules! cloud {
        ($builder:ident, $key:ident) => {{
            let start = if options.is_some() { $builder::new() } else { $builder::from_env() };
            let mut builder = start.with_url(url.as_str()).with_retry(retries());
            for (key, value) in limits {
                builder = builder.with_config($key::Client(key), value);
            }
            for (option, value) in options.into_iter().flatten() {
                let key: $key = option.parse().map_err(|_| unknown(option))?;
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.build().map_err(|e| DeltaError::InvalidLocation { reason: scrub(&e.to_string()) })?)
        }};
    }
    Ok(match scheme {
        ObjectStoreScheme::Local => Arc::new(LocalFileSystem::new()),
        ObjectStoreScheme::AmazonS3 => cloud!(AmazonS3Builder, AmazonS3ConfigKey),
        ObjectStoreScheme::MicrosoftAzure => cloud!(MicrosoftAzureBuilder, AzureConfigKey),
        ObjectStoreScheme::GoogleCloudStorage => cloud!(GoogleCloudStorageBuilder, GoogleConfigKey),
        _ => return Err(unsupported_scheme(url)),
    })
}

fn retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES_MAX, retry_timeout: RETRY_TIMEOUT }
}

fn unsupported_scheme(url: &Url) -> DeltaError {
    DeltaError::InvalidLocation {
        reason: format!("no store has the scheme \"{}\"; file, s3, abfss, az and gs are known", url.scheme()),
    }
}

fn local_path(url: &Url) -> Result<Path, DeltaError> {
    let invalid = || DeltaError::InvalidLocation { reason: "a file location is an absolute path".into() };
    let path = url.to_file_path().map_err(|()| invalid())?;
    Path::from_absolute_path(path).map_err(|_| invalid())
}

/// The form in which names are compared, so that a contract's `lake-eu` is the environment's `LAKE_EU`.
fn normalised(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// Name and option of a variable. Both may hold underscores, so the longest ending that is an option is the option:
/// each variable then belongs to one name only, and no name ever gets another's secret.
fn split_variable(variable: &str) -> Option<(String, String)> {
    let rest = variable.strip_prefix(ENVIRONMENT_PREFIX)?;
    let found = rest.match_indices('_').filter(|(at, _)| *at > 0).find_map(|(at, _)| {
        let option = rest[at + 1..].to_ascii_lowercase();
        is_option(&option).then(|| (rest[..at].to_ascii_uppercase(), option))
    });
    if found.is_none() {
        tracing::warn!(variable, "this variable ends with no option that a store has and is ignored");
    }
    found
}

fn is_option(option: &str) -> bool {
    option.parse::<AmazonS3ConfigKey>().is_ok()
        || option.parse::<AzureConfigKey>().is_ok()
        || option.parse::<GoogleConfigKey>().is_ok()
}

fn from_toml(text: &str) -> Result<BTreeMap<String, Options>, DeltaError> {
    let invalid = |name: &str, reason: String| DeltaError::Credentials { name: name.to_owned(), reason };
    // the parser's own message quotes the line, which may hold a secret
    let file: toml::Table =
        toml::from_str(text).map_err(|_| invalid("*", "the credentials file is no valid TOML".into()))?;
    let mut credentials = BTreeMap::new();
    let Some(section) = file.get("credentials") else { return Ok(credentials) };
    let names = section.as_table().ok_or_else(|| invalid("*", "\"credentials\" is no table".into()))?;
    for (name, options) in names {
        let options = options.as_table().ok_or_else(|| invalid(name, "they are no table of options".into()))?;
        let mut parsed = Options::new();
        for (option, value) in options {
            let value = match value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Boolean(_) | toml::Value::Integer(_) => value.to_string(),
                _ => return Err(invalid(name, format!("option \"{option}\" is no text, number or boolean"))),
            };
            let option = option.to_ascii_lowercase();
            if !is_option(&option) {
                return Err(invalid(name, format!("no store has an option \"{option}\"")));
            }
            parsed.insert(option, value);
        }
        if credentials.insert(normalised(name), parsed).is_some() {
            return Err(invalid(name, "another name is the same in upper case".into()));
        }
    }
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(url: &str, credentials: Option<&str>) -> TableLocation {
        TableLocation { url: url.into(), credentials: credentials.map(Into::into) }
    }

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_variable_belongs_to_one_name_only() {
        let split = |v| split_variable(v);
        assert_eq!(split("PGMESH_CREDENTIALS_LAKE_EU_ACCESS_KEY_ID"), Some(("LAKE_EU".into(), "access_key_id".into())));
        assert_eq!(
            split("PGMESH_CREDENTIALS_LAKE_AWS_ACCESS_KEY_ID"),
            Some(("LAKE".into(), "aws_access_key_id".into()))
        );
        assert_eq!(split("PGMESH_CREDENTIALS_LAKE_SESSION_TOKEN"), Some(("LAKE".into(), "session_token".into())));
        assert_eq!(split("PGMESH_CREDENTIALS_LAKE_NONSENSE"), None);
        assert_eq!(split("PGMESH_CREDENTIALS_ACCESS_KEY_ID"), None);
        assert_eq!(split("AWS_ACCESS_KEY_ID"), None);
    }

    #[test]
    fn one_bucket_with_two_credentials_has_two_clients() {
        let stores = Stores::new(
            variables(&[
                ("PGMESH_CREDENTIALS_A_ACCESS_KEY_ID", "a"),
                ("PGMESH_CREDENTIALS_A_SECRET_ACCESS_KEY", "sa"),
                ("PGMESH_CREDENTIALS_B_ACCESS_KEY_ID", "b"),
                ("PGMESH_CREDENTIALS_B_SECRET_ACCESS_KEY", "sb"),
            ]),
            None,
        )
        .unwrap();
        let a = stores.folder(&location("s3://lake/x", Some("a"))).unwrap();
        let also_a = stores.folder(&location("s3://lake/y/z", Some("A"))).unwrap();
        let b = stores.folder(&location("s3://lake/x", Some("b"))).unwrap();
        assert!(Arc::ptr_eq(&a.store, &also_a.store));
        assert!(!Arc::ptr_eq(&a.store, &b.store));
        assert_eq!((a.path.as_ref(), also_a.path.as_ref()), ("x", "y/z"));
        assert!(format!("{:?}", a.store).contains("AmazonS3"));
        assert!(!format!("{stores:?}").contains("sa\""));
    }

    #[test]
    fn two_containers_of_one_account_have_two_clients() {
        let text = "[credentials.lake]\naccount_key = \"Zm9v\"\n";
        let stores = Stores::new([], Some(text)).unwrap();
        let one = stores.folder(&location("abfss://one@acc.dfs.core.windows.net/t", Some("lake"))).unwrap();
        let two = stores.folder(&location("abfss://two@acc.dfs.core.windows.net/t", Some("lake"))).unwrap();
        assert!(!Arc::ptr_eq(&one.store, &two.store));
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let text = "[credentials.lake-eu]\nregion = \"eu-west-1\"\nallow_http = true\n";
        let stores =
            Stores::new(variables(&[("PGMESH_CREDENTIALS_LAKE_EU_REGION", "eu-north-1")]), Some(text)).unwrap();
        let options = stores.options(Some("lake-eu")).unwrap().unwrap();
        assert_eq!(options["region"], "eu-north-1");
        assert_eq!(options["allow_http"], "true");
    }

    #[test]
    fn refusals_say_what_is_wrong_and_quote_no_secret() {
        let stores = Stores::new([], Some("[credentials.a]\naccount_key = \"topsecret\"\n")).unwrap();
        let refused = |url, name| stores.folder(&location(url, name)).err().unwrap();
        assert!(matches!(refused("s3://b/t", Some("nobody")), DeltaError::Credentials { .. }));
        let wrong_kind = refused("gs://b/t", Some("a"));
        assert!(wrong_kind.to_string().contains("account_key"), "{wrong_kind}");
        assert!(!wrong_kind.to_string().contains("topsecret"));
        for url in ["no url", "ftp://h/x", "https://example.com/t", "memory:///t", "s3://u:p@b/t", "s3://b/t?x=y"] {
            assert!(matches!(refused(url, None), DeltaError::InvalidLocation { .. }), "{url}");
        }
        for text in ["[credentials.a]\nnonsense = \"1\"", "credentials = 1", "[credentials]\na = 1", "secret=="] {
            assert!(Stores::new([], Some(text)).is_err(), "{text}");
        }
        assert!(Stores::new([], Some("[credentials.a-b]\nregion = \"x\"\n[credentials.a_b]\nregion = \"y\"")).is_err());
    }
}
