use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, RetryConfig,
};
use onnward_schemas::layout::is_model_name;
use url::Url;

use crate::config::{RepositoryConfig, S3Config, Secret};
use crate::error::RepositoryError;
use crate::folder::make_writable;

/// A model repository that is open.
#[derive(Clone)]
pub struct Repository {
    pub(crate) store: Arc<dyn ObjectStore>,
}

/// Without the store's settings, which hold keys.
impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({})", self.store)
    }
}

/// How long one request may take, with the file that it brings.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// How long and how often a request is tried again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);
const MAX_RETRIES: usize = 4;

impl Repository {
    /// Opens a repository to read it; a local folder must be there. What `config` does not say about an object store
    /// comes from the environment. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// [`RepositoryError::NotFound`] for a local folder that is not there, [`RepositoryError::Location`].
    pub fn open(config: &RepositoryConfig) -> Result<Self, RepositoryError> {
        match place(&config.location)? {
            Place::Folder(folder) => local(&folder),
            Place::Store(url) => remote(&url, config),
        }
    }

    /// As [`Repository::open`], to write as well: a local folder that is not there is made, and one that
    /// cannot be written is refused before anybody works for hours on what is to go there.
    ///
    /// # Errors
    /// [`RepositoryError::Location`].
    pub fn create(config: &RepositoryConfig) -> Result<Self, RepositoryError> {
        if let Place::Folder(folder) = place(&config.location)? {
            make_writable(&folder).map_err(|error| {
                let problem = format!("the folder cannot be written: {error}");
                RepositoryError::Location { location: config.location.clone(), problem }
            })?;
        }
        Self::open(config)
    }

    /// A repository in a store that is open already.
    pub fn from_store(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// The store, for what this crate does not do.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Writes a new file; `false` if there is one already.
    pub(crate) async fn create_file(&self, path: &str, bytes: Bytes) -> Result<bool, RepositoryError> {
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&Path::from(path), PutPayload::from(bytes), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(source) => Err(RepositoryError::writing(path, source)),
        }
    }

    /// As [`Repository::create_file`], for bytes that nobody else writes: if they are there already, an earlier attempt
    /// had come through and only its answer was lost.
    pub(crate) async fn create_own_file(&self, path: &str, bytes: Bytes) -> Result<bool, RepositoryError> {
        if self.create_file(path, bytes.clone()).await? {
            return Ok(true);
        }
        let found = self.read(path, bytes.len() as u64).await;
        Ok(found.is_ok_and(|found| found == bytes))
    }

    /// Removes a file; one that is not there is no error.
    pub(crate) async fn remove_file(&self, path: &Path) -> Result<(), RepositoryError> {
        match self.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(RepositoryError::writing(path.as_ref(), source)),
        }
    }

    /// Whether a file is there.
    pub(crate) async fn has_file(&self, path: &str) -> Result<bool, RepositoryError> {
        match self.store.head(&Path::from(path)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(RepositoryError::reading(path, source)),
        }
    }

    /// A file's bytes.
    pub(crate) async fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, RepositoryError> {
        let fail = |source| RepositoryError::reading(path, source);
        let found = self.store.get(&Path::from(path)).await.map_err(fail)?;
        let size = found.meta.size;
        if size > limit {
            return Err(RepositoryError::TooLarge { path: path.to_owned(), size, limit });
        }
        Ok(found.bytes().await.map_err(fail)?.to_vec())
    }
}

/// Refuses a name that cannot be a model's or an alias's.
///
/// # Errors
/// [`RepositoryError::Name`].
pub fn check_name(name: &str) -> Result<(), RepositoryError> {
    if is_model_name(name) { Ok(()) } else { Err(RepositoryError::Name(name.to_owned())) }
}

enum Place {
    Folder(PathBuf),
    Store(Url),
}

fn place(location: &str) -> Result<Place, RepositoryError> {
    let wrong = |location: &str, problem: &str| {
        Err(RepositoryError::Location { location: location.to_owned(), problem: problem.to_owned() })
    };
    // A drive's letter is no scheme.
    let Some((scheme, rest)) = location.split_once("://") else { return Ok(Place::Folder(location.into())) };
    let Ok(url) = Url::parse(location) else {
        // It may hold a password.
        return wrong(&format!("{scheme}://…"), "it is not a URL");
    };
    if !url.username().is_empty() || url.password().is_some() {
        let problem = "a URL must not hold credentials: set them in the configuration or in AWS_ACCESS_KEY_ID \
                       and AWS_SECRET_ACCESS_KEY";
        return wrong(&format!("{scheme}://…"), problem);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return wrong(&format!("{scheme}://…"), "a URL of a repository ends with its path");
    }
    match scheme {
        "file" => match url.to_file_path() {
            Ok(folder) => Ok(Place::Folder(folder)),
            Err(()) if rest.starts_with('/') => wrong(location, "it does not name a local folder"),
            Err(()) => {
                wrong(location, "write an absolute path, as in file:///srv/models, or just the folder")
            }
        },
        _ if url.host_str().is_none_or(str::is_empty) => {
            wrong(location, "it names no bucket: write it as in s3://bucket/prefix")
        }
        _ => Ok(Place::Store(url)),
    }
}

fn local(folder: &FilePath) -> Result<Repository, RepositoryError> {
    let missing = || RepositoryError::NotFound { path: folder.display().to_string() };
    if let Err(error) = std::fs::read_dir(folder) {
        if error.kind() == std::io::ErrorKind::NotFound {
            return Err(missing());
        }
        let (location, problem) = (folder.display().to_string(), error.to_string());
        return Err(RepositoryError::Location { location, problem });
    }
    // Flushed before its manifest is written, a file is whole after a crash if its manifest is there.
    let store = LocalFileSystem::new_with_prefix(folder).map_err(|_| missing())?.with_fsync(true);
    Ok(Repository { store: Arc::new(store) })
}

fn remote(url: &Url, config: &RepositoryConfig) -> Result<Repository, RepositoryError> {
    let wrong = |problem: String| RepositoryError::Location { location: config.location.clone(), problem };
    // The one that is there already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let bucket = url.host_str().unwrap_or_default();
    let failed = |error: object_store::Error| wrong(crate::error::reason(&error));
    let store = match url.scheme() {
        "s3" => {
            let builder =
                s3(bucket, &config.s3, environment()).map_err(|problem| wrong(problem.to_owned()))?;
            rooted(builder.build().map_err(failed)?, url)
        }
        #[cfg(feature = "gcp")]
        "gs" => {
            let builder = object_store::gcp::GoogleCloudStorageBuilder::from_env();
            rooted(builder.with_bucket_name(bucket).with_retry(retries()).build().map_err(failed)?, url)
        }
        #[cfg(feature = "azure")]
        "az" => {
            let builder = object_store::azure::MicrosoftAzureBuilder::from_env();
            rooted(builder.with_container_name(bucket).with_retry(retries()).build().map_err(failed)?, url)
        }
        #[cfg(not(feature = "gcp"))]
        "gs" => return Err(wrong("this program is built without the feature gcp".to_owned())),
        #[cfg(not(feature = "azure"))]
        "az" => return Err(wrong("this program is built without the feature azure".to_owned())),
        other => {
            let problem =
                format!("{other}:// is not known: name a folder, file:///folder or s3://bucket/prefix");
            return Err(wrong(problem));
        }
    };
    Ok(Repository { store })
}

/// The store under the URL's path.
fn rooted(store: impl ObjectStore, url: &Url) -> Arc<dyn ObjectStore> {
    match Path::from_url_path(url.path()) {
        Ok(prefix) if !prefix.as_ref().is_empty() => Arc::new(PrefixStore::new(store, prefix)),
        _ => Arc::new(store),
    }
}

fn s3(
    bucket: &str,
    config: &S3Config,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<AmazonS3Builder, &'static str> {
    let S3Config {
        endpoint,
        region,
        access_key_id,
        secret_access_key,
        session_token,
        path_style,
        allow_http,
    } = config;
    if access_key_id.is_some() != secret_access_key.is_some() {
        return Err("an access key has two parts: set s3.access_key_id and s3.secret_access_key, or neither");
    }
    let options = ClientOptions::new().with_timeout(REQUEST_TIMEOUT);
    let mut builder = AmazonS3Builder::new().with_client_options(options);
    for (name, value) in environment {
        let name = name.to_ascii_lowercase();
        // Halves of two sources do not make a whole.
        let is_overridden = match access_key_id {
            Some(_) if ["aws_access_key_id", "aws_secret_access_key"].contains(&name.as_str()) => true,
            Some(_) if ["aws_session_token", "aws_token"].contains(&name.as_str()) => true,
            _ => endpoint.is_some() && name.starts_with("aws_endpoint"),
        };
        let is_for_s3 = name.starts_with("aws_") && !value.is_empty() && !is_overridden;
        if is_for_s3 && let Ok(key) = name.parse() {
            builder = builder.with_config(key, value);
        }
    }
    let client = AmazonS3ConfigKey::Client;
    let settings = [
        (AmazonS3ConfigKey::Endpoint, endpoint.clone()),
        (AmazonS3ConfigKey::Region, region.clone()),
        (AmazonS3ConfigKey::AccessKeyId, access_key_id.as_ref().map(revealed)),
        (AmazonS3ConfigKey::SecretAccessKey, secret_access_key.as_ref().map(revealed)),
        (AmazonS3ConfigKey::Token, session_token.as_ref().map(revealed)),
        (AmazonS3ConfigKey::VirtualHostedStyleRequest, path_style.map(|in_path| (!in_path).to_string())),
        (client(ClientConfigKey::AllowHttp), allow_http.map(|allow| allow.to_string())),
    ];
    for (key, value) in settings {
        if let Some(value) = value {
            builder = builder.with_config(key, value);
        }
    }
    check_endpoint(&builder)?;
    Ok(builder
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(retries()))
}

fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn revealed(secret: &Secret) -> String {
    secret.reveal().to_owned()
}

/// What is wrong with the endpoint, without what it says: it may hold a password.
fn check_endpoint(builder: &AmazonS3Builder) -> Result<(), &'static str> {
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
        .into_iter()
        .find_map(|key| builder.get_config_value(&key));
    let Some(endpoint) = endpoint else { return Ok(()) };
    let allows_http = builder
        .get_config_value(&AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp))
        .is_some_and(|allow| ["1", "true", "on", "yes", "y"].contains(&allow.to_ascii_lowercase().as_str()));
    let url =
        Url::parse(&endpoint).map_err(|_| "the endpoint is not a URL such as https://s3.example.org")?;
    match url.scheme() {
        "https" | "http" if !url.username().is_empty() || url.password().is_some() => {
            Err("the endpoint must not hold credentials")
        }
        "http" if !allows_http => Err(
            "the endpoint is plain http: allow that with s3.allow_http or AWS_ALLOW_HTTP=true, or use https",
        ),
        "https" | "http" => Ok(()),
        _ => Err("the endpoint must begin with https:// or http://"),
    }
}

fn retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: MAX_RETRIES, retry_timeout: RETRY_TIMEOUT }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(location: &str, s3: S3Config) -> String {
        let config = RepositoryConfig { location: location.to_owned(), s3 };
        Repository::open(&config).unwrap_err().to_string()
    }

    fn endpoint(url: &str) -> S3Config {
        S3Config { endpoint: Some(url.to_owned()), allow_http: Some(false), ..S3Config::default() }
    }

    #[test]
    fn a_place_that_cannot_be_a_repository_is_refused_with_what_to_write() {
        for (location, expected) in [
            ("s3://", "bucket"),
            ("ftp://host/models", "ftp:// is not known"),
            ("file://models", "absolute path"),
            ("s3://bucket/models?versionId=1", "ends with its path"),
        ] {
            let message = refusal(location, S3Config::default());
            assert!(message.contains(expected), "{location}: {message}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_not_repeated() {
        let messages = [
            refusal("s3://name:hidden@bucket/models", S3Config::default()),
            refusal("s3://bucket", endpoint("https://name:hidden@store.example")),
            refusal("s3://bucket", endpoint("hidden")),
        ];
        for message in messages {
            assert!(!message.contains("hidden"), "{message}");
        }
    }

    #[test]
    fn plain_http_must_be_allowed() {
        let message = refusal("s3://bucket", endpoint("http://store.example"));
        assert!(message.contains("AWS_ALLOW_HTTP"), "{message}");
        let allowed = S3Config { allow_http: Some(true), ..endpoint("http://store.example") };
        let config = RepositoryConfig { location: "s3://bucket".to_owned(), s3: allowed };
        assert!(Repository::open(&config).is_ok());
    }

    #[test]
    fn the_configuration_stands_over_the_environment_and_keys_are_not_mixed() {
        let environment = [
            ("AWS_REGION", "there"),
            ("AWS_ACCESS_KEY_ID", "theirs"),
            ("AWS_SECRET_ACCESS_KEY", "theirs"),
            ("AWS_SESSION_TOKEN", "theirs"),
            ("AWS_ENDPOINT_URL_S3", "https://there.example"),
        ];
        let environment = || environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let from_environment = s3("bucket", &S3Config::default(), environment()).unwrap();
        assert_eq!(from_environment.get_config_value(&AmazonS3ConfigKey::Token).as_deref(), Some("theirs"));
        let config = S3Config {
            endpoint: Some("https://ours.example".to_owned()),
            access_key_id: Some("ours".into()),
            secret_access_key: Some("ours".into()),
            ..S3Config::default()
        };
        let builder = s3("bucket", &config, environment()).unwrap();
        for (key, expected) in [
            (AmazonS3ConfigKey::Region, Some("there")),
            (AmazonS3ConfigKey::AccessKeyId, Some("ours")),
            (AmazonS3ConfigKey::Token, None),
            (AmazonS3ConfigKey::S3Endpoint, None),
            (AmazonS3ConfigKey::Endpoint, Some("https://ours.example")),
        ] {
            assert_eq!(builder.get_config_value(&key).as_deref(), expected, "{key:?}");
        }
        let half = S3Config { secret_access_key: None, ..config };
        assert!(s3("bucket", &half, environment()).unwrap_err().contains("two parts"));
    }
}
