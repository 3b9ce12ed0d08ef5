//! The settings of the store that `copy` writes to, where they differ from those of the store it reads.

use std::env;
use std::fs;
use std::path::PathBuf;

use onnward_repository::{RepositoryConfig, S3Config, Secret};

use super::CommandError;
use crate::cli::repository::repository_config;

const ACCESS_KEY_ID: &str = "ONNWARD_TARGET_AWS_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "ONNWARD_TARGET_AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "ONNWARD_TARGET_AWS_SESSION_TOKEN";
const REGION: &str = "ONNWARD_TARGET_AWS_REGION";
const ENDPOINT: &str = "ONNWARD_TARGET_AWS_ENDPOINT_URL";
const ALLOW_HTTP: &str = "ONNWARD_TARGET_AWS_ALLOW_HTTP";

/// Returns the settings of the repository at this location. What its own variables do not set is as for every other
/// store.
///
/// # Errors
/// [`CommandError::TargetKey`] for half a key, [`CommandError::Variable`]; a file of a key cannot be read.
pub fn target_config(location: &str) -> Result<RepositoryConfig, CommandError> {
    let s3 = s3_config(|name| env::var(name).ok())?;
    Ok(RepositoryConfig { s3, ..repository_config(location) })
}

fn s3_config(variable: impl Fn(&str) -> Option<String>) -> Result<S3Config, CommandError> {
    let value = |name: &str| variable(name).filter(|value| !value.is_empty());
    let secret = |name: &str| -> Result<Option<Secret>, CommandError> {
        if let Some(path) = value(&format!("{name}_FILE")).map(PathBuf::from) {
            let text = fs::read_to_string(&path).map_err(|source| CommandError::reading(&path, source))?;
            return Ok(Some(text.trim().into()));
        }
        Ok(value(name).map(|value| value.as_str().into()))
    };
    let (access_key_id, secret_access_key) = (secret(ACCESS_KEY_ID)?, secret(SECRET_ACCESS_KEY)?);
    if access_key_id.is_some() != secret_access_key.is_some() {
        return Err(CommandError::TargetKey { id: ACCESS_KEY_ID, secret: SECRET_ACCESS_KEY });
    }
    let allow_http = match value(ALLOW_HTTP).as_deref() {
        None => None,
        Some("true" | "1") => Some(true),
        Some("false" | "0") => Some(false),
        Some(other) => {
            return Err(CommandError::Variable { variable: ALLOW_HTTP, value: other.to_owned() });
        }
    };
    Ok(S3Config {
        endpoint: value(ENDPOINT),
        region: value(REGION),
        access_key_id,
        secret_access_key,
        session_token: secret(SESSION_TOKEN)?,
        allow_http,
        ..S3Config::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<S3Config, CommandError> {
        s3_config(|name| {
            variables.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_store_to_copy_to_has_settings_of_its_own() {
        assert_eq!(of(&[]).unwrap(), S3Config::default());
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "hidden\n").unwrap();
        let path = file.path().display().to_string();
        let key = [(ACCESS_KEY_ID, "production"), ("ONNWARD_TARGET_AWS_SECRET_ACCESS_KEY_FILE", &path)];
        let config = of(&key).unwrap();
        assert_eq!(config.access_key_id, Some("production".into()));
        assert_eq!(config.secret_access_key, Some("hidden".into()));
        let message = of(&key[..1]).unwrap_err().to_string();
        assert!(message.contains(SECRET_ACCESS_KEY), "{message}");
        assert!(of(&[(ALLOW_HTTP, "maybe")]).unwrap_err().to_string().contains("true or false"));
    }
}
