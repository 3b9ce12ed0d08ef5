use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use client::CheckingConnector;
use key_files::KeyFiles;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
use region::{RegionalS3, ToldRegion};
use reqwest::tls::Certificate;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use url::{Host, Url};

use crate::config::{RepositoryConfig, S3Config, Secret};
use crate::error::{RepositoryError, no_credentials};
use crate::store::passed_over::PassedOver;

pub(super) mod client;
mod key_files;
pub(super) mod listing;
mod region;

/// The maximum number of retries of a request: a store may answer 503 now and then. A poller polls again
/// anyway.
const MAX_RETRIES: usize = 3;
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// An open object store.
pub struct Remote {
    /// The store, under the URL's path.
    pub store: Arc<dyn ObjectStore>,
    /// Its endpoint, if one was named.
    pub endpoint: Option<String>,
}

/// Installs the cryptography of TLS for every client of this process. No client brings its own.
pub fn prepare_tls() {
    // The one that is there already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Opens the store of a URL. No request is sent yet.
pub fn remote(
    url: &Url,
    config: &RepositoryConfig,
    passed_over: &Arc<PassedOver>,
) -> Result<Remote, RepositoryError> {
    let wrong = |problem: String| RepositoryError::Location { location: config.location.clone(), problem };
    prepare_tls();
    let bucket = url.host_str().unwrap_or_default();
    let failed = |error: object_store::Error| wrong(crate::error::reason(&error));
    let backoff = BackoffConfig { max_backoff: LONGEST_BACKOFF, ..BackoffConfig::default() };
    let retries = RetryConfig { backoff, max_retries: MAX_RETRIES, retry_timeout: config.timeout };
    let connector = CheckingConnector {
        silence: config.timeout,
        certificates: certificates(&config.s3).map_err(wrong)?,
        passed_over: Arc::clone(passed_over),
        told_region: ToldRegion::default(),
    };
    let (store, endpoint) = match url.scheme() {
        "s3" => {
            let told = connector.told_region.clone();
            let builder = AmazonS3Builder::new().with_retry(retries);
            let builder = builder.with_http_connector(connector);
            let builder = s3(builder.with_bucket_name(bucket), &config.s3, environment());
            let builder = builder.map_err(wrong)?;
            let endpoint = endpoint_of(&builder);
            (rooted(RegionalS3::open(builder, told).map_err(failed)?, url), endpoint)
        }
        "gs" => {
            let builder = object_store::gcp::GoogleCloudStorageBuilder::from_env();
            let builder = builder.with_bucket_name(bucket).with_retry(retries);
            let builder = builder.with_http_connector(connector);
            (rooted(builder.build().map_err(failed)?, url), None)
        }
        "az" => {
            let builder = object_store::azure::MicrosoftAzureBuilder::from_env();
            let builder = builder.with_container_name(bucket).with_retry(retries);
            let builder = builder.with_http_connector(connector);
            (rooted(builder.build().map_err(failed)?, url), None)
        }
        other => {
            let problem = format!(
                "{other}:// is not known: name a folder, s3://bucket/prefix, gs://bucket or az://container"
            );
            return Err(wrong(problem));
        }
    };
    Ok(Remote { store, endpoint })
}

/// Returns the store under the URL's path.
fn rooted(store: impl ObjectStore, url: &Url) -> Arc<dyn ObjectStore> {
    match Path::from_url_path(url.path()) {
        Ok(prefix) if !prefix.as_ref().is_empty() => Arc::new(PrefixStore::new(store, prefix)),
        _ => Arc::new(store),
    }
}

fn s3(
    mut builder: AmazonS3Builder,
    config: &S3Config,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<AmazonS3Builder, String> {
    let S3Config {
        endpoint,
        region,
        access_key_id,
        secret_access_key,
        session_token,
        path_style,
        allow_http,
        ca_file: _,
    } = config;
    if access_key_id.is_some() != secret_access_key.is_some() {
        let problem =
            "an access key has two parts: set s3.access_key_id and s3.secret_access_key, or neither";
        return Err(problem.to_owned());
    }
    let environment: Vec<(String, String)> = environment.into_iter().collect();
    let files = if access_key_id.is_none() { KeyFiles::from_environment(&environment)? } else { None };
    let has_files = files.is_some();
    if let Some(files) = files {
        builder = builder.with_credentials(Arc::new(files));
    }
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
    check_keys(&builder, has_files)?;
    let is_in_host = builder.get_config_value(&AmazonS3ConfigKey::VirtualHostedStyleRequest);
    if is_in_host.is_some_and(|is_in_host| is_in_host == "true")
        && let Some(endpoint) = endpoint_of(&builder)
    {
        let endpoint = with_bucket(&endpoint, &builder)?;
        builder = builder.with_endpoint(endpoint);
    }
    Ok(builder.with_conditional_put(S3ConditionalPut::ETagMatch))
}

fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn revealed(secret: &Secret) -> String {
    secret.reveal().to_owned()
}

/// Checks the endpoint. The error does not repeat it, since it may hold a password.
fn check_endpoint(builder: &AmazonS3Builder) -> Result<(), &'static str> {
    let Some(endpoint) = endpoint_of(builder) else { return Ok(()) };
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

/// Checks that an access key has both its parts, and that there is one where this machine may have no role.
fn check_keys(builder: &AmazonS3Builder, has_files: bool) -> Result<(), String> {
    let is_set = |key| builder.get_config_value(&key).is_some_and(|value| !value.is_empty());
    let asks_no_role = || {
        let is_disabled = std::env::var("AWS_EC2_METADATA_DISABLED");
        is_disabled.is_ok_and(|is_disabled| is_disabled.eq_ignore_ascii_case("true"))
    };
    let has_other_source = || {
        let sources = [
            AmazonS3ConfigKey::WebIdentityTokenFile,
            AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
            AmazonS3ConfigKey::ContainerCredentialsFullUri,
        ];
        let signs_not = builder.get_config_value(&AmazonS3ConfigKey::SkipSignature);
        has_files || sources.into_iter().any(is_set) || signs_not.is_some_and(|signs_not| signs_not == "true")
    };
    match (is_set(AmazonS3ConfigKey::AccessKeyId), is_set(AmazonS3ConfigKey::SecretAccessKey)) {
        (true, true) => Ok(()),
        (true, false) => Err("AWS_SECRET_ACCESS_KEY is missing beside AWS_ACCESS_KEY_ID".to_owned()),
        (false, true) => Err("AWS_ACCESS_KEY_ID is missing beside AWS_SECRET_ACCESS_KEY".to_owned()),
        (false, false) if asks_no_role() && !has_other_source() => Err(no_credentials()),
        (false, false) => Ok(()),
    }
}

/// Returns an endpoint with the bucket in its host name. object_store expects that, where the bucket is not in the path.
fn with_bucket(endpoint: &str, builder: &AmazonS3Builder) -> Result<String, String> {
    let bucket = builder.get_config_value(&AmazonS3ConfigKey::Bucket).unwrap_or_default();
    let mut url = Url::parse(endpoint).map_err(|error| error.to_string())?;
    let Some(Host::Domain(host)) = url.host() else {
        let problem = "s3.path_style = false puts the bucket into the endpoint's host name, and an address has none: \
                       name a host, or leave s3.path_style out";
        return Err(problem.to_owned());
    };
    if !host.starts_with(&format!("{bucket}.")) {
        let host = format!("{bucket}.{host}");
        url.set_host(Some(&host)).map_err(|error| format!("{host} is no host name: {error}"))?;
    }
    Ok(url.to_string().trim_end_matches('/').to_owned())
}

fn endpoint_of(builder: &AmazonS3Builder) -> Option<String> {
    let keys = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    keys.iter().find_map(|key| builder.get_config_value(key))
}

/// Reads the certificates that are trusted beside those of the system: of `s3.ca_file`, or of the file that
/// `AWS_CA_BUNDLE` names.
fn certificates(config: &S3Config) -> Result<Vec<Certificate>, String> {
    let of_environment =
        || std::env::var_os("AWS_CA_BUNDLE").filter(|file| !file.is_empty()).map(PathBuf::from);
    let Some(file) = config.ca_file.clone().or_else(of_environment) else { return Ok(Vec::new()) };
    let wrong = |problem: String| format!("the file of certificates {} {problem}", file.display());
    let text = std::fs::read(&file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let certificates = Certificate::from_pem_bundle(&text).unwrap_or_default();
    if certificates.is_empty() {
        return Err(wrong("holds no certificate in PEM".to_owned()));
    }
    // The client would name the problem, but not the file.
    let mut trusted = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| wrong(format!("is not PEM: {error}")))?;
        let added = trusted.add(certificate);
        added.map_err(|error| wrong(format!("has a certificate that cannot be used: {error}")))?;
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Repository;

    fn refusal(location: &str, s3: S3Config) -> String {
        let config = RepositoryConfig { location: location.to_owned(), s3, ..RepositoryConfig::default() };
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
        let config = RepositoryConfig {
            location: "s3://bucket".to_owned(),
            s3: allowed,
            ..RepositoryConfig::default()
        };
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
        let from_environment = s3(AmazonS3Builder::new(), &S3Config::default(), environment()).unwrap();
        assert_eq!(from_environment.get_config_value(&AmazonS3ConfigKey::Token).as_deref(), Some("theirs"));
        let config = S3Config {
            endpoint: Some("https://ours.example".to_owned()),
            access_key_id: Some("ours".into()),
            secret_access_key: Some("ours".into()),
            ..S3Config::default()
        };
        let builder = s3(AmazonS3Builder::new(), &config, environment()).unwrap();
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
        assert!(s3(AmazonS3Builder::new(), &half, environment()).unwrap_err().contains("two parts"));
    }
}
