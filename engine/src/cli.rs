//! The command line: arguments become the checked configuration, in one place, and results become exit codes: 0 for
//! success, 1 for failure, 2 for a command or a configuration that cannot be meant.

use std::env::vars_os;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use onnward_http::auth::Scope;
use onnward_runtime::backend::BackendChoice;

use crate::admin_client::{Question, RemoteError};
use crate::app;
use crate::commands;
use crate::commands::{CommandError, NewKey};
use crate::config::{Addresses, Config, ConfigError, Flags};

/// Serves churn models from ONNX files.
#[derive(Debug, Parser)]
#[command(name = "onnward-engine", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  onnward-engine serve --repository model-repository
  onnward-engine check model-repository/churn/1/model.onnx
  onnward-engine predict model-repository/churn/1/model.onnx rows.json --output json
  onnward-engine health
  onnward-engine reload
  onnward-engine api-key batch-job --scopes predict --file keys.toml";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the models of a repository over HTTP
    Serve(Serve),
    /// Prove an ONNX file: replay its golden rows on every runtime that is present
    Check(Check),
    /// Score the rows of a JSON file without a server
    Predict(Predict),
    /// Ask a running engine whether it is ready: status 0 if it is, else 1 and the reason
    Health(Health),
    /// Have a running engine look at its repository now, and wait until that has been acted upon
    Reload(Reload),
    /// Make an API key, and the entry by which the engine knows it
    ApiKey(ApiKey),
}

/// Returns a parser of names, each with what it means.
fn names<T: Copy + Send + Sync + 'static, const N: usize>(
    values: [(T, &'static str, &'static str); N],
) -> impl TypedValueParser<Value = T> {
    let possible = values.map(|(_, name, help)| PossibleValue::new(name).help(help));
    PossibleValuesParser::new(possible).try_map(move |given| {
        values
            .iter()
            .find(|(_, name, _)| *name == given)
            .map(|(value, ..)| *value)
            .ok_or("not one of the names")
    })
}

fn backend_choice() -> impl TypedValueParser<Value = BackendChoice> {
    let help = |choice| match choice {
        BackendChoice::Auto => {
            "ONNX Runtime where its library is found, but tract for a model that it runs in less than half the time; \
             else tract"
        }
        BackendChoice::OnnxRuntime => "ONNX Runtime",
        BackendChoice::Tract => "tract",
    };
    names(BackendChoice::ALL.map(|choice| (choice, choice.name(), help(choice))))
}

fn scope() -> impl TypedValueParser<Value = Scope> {
    let help = |scope| match scope {
        Scope::Predict => "Score rows, and report what became of them",
        Scope::Read => "Read models, their performance and their drift, and what is protected beside them",
        Scope::Admin => "Make the engine do something",
    };
    names(Scope::ALL.map(|scope| (scope, scope.name(), help(scope))))
}

#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
struct Serve {
    /// The model repository: a folder, file:///folder or s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    repository: Option<String>,
    /// The alias whose version is served where a model is not pinned [default: champion]
    #[arg(long, value_name = "ALIAS")]
    alias: Option<String>,
    /// The address to listen on [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The address of the admin routes; without one there are none
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<String>,
    /// The runtime that scores [default: auto]
    #[arg(long, value_parser = backend_choice())]
    backend: Option<BackendChoice>,
    /// A TOML file with the configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

const SERVE_EXAMPLES: &str = "\
Every key of the configuration file can also be set in the environment: batching.workers is
ONNWARD_BATCHING__WORKERS. Flags stand over the environment, and the environment over the file.

Of each model one version is served: the one it is pinned to, else the one that the alias names, else the
highest. An S3 store is reached with the keys of [s3] (endpoint, region, access_key_id, secret_access_key,
session_token, path_style, allow_http) and what AWS's own environment variables say. Keys in files are named by
AWS_ACCESS_KEY_ID_FILE, AWS_SECRET_ACCESS_KEY_FILE and AWS_SESSION_TOKEN_FILE.

Examples:
  onnward-engine serve --repository model-repository
  AWS_REGION=eu-central-1 onnward-engine serve --repository s3://models/churn --alias challenger
  ONNWARD_AUTH__KEYS_FILE=keys.toml onnward-engine serve --repository model-repository --listen 0.0.0.0:8000
  ONNWARD_LOG__LEVEL=warn onnward-engine serve --config engine.toml";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onnward-engine check model.onnx
  onnward-engine check model.onnx --output json")]
struct Check {
    /// The ONNX file
    #[arg(value_name = "FILE.onnx")]
    file: PathBuf,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The rows are what POST /predict takes: an object, an array of objects or {\"instances\": [...]}.

Examples:
  onnward-engine predict model.onnx rows.json
  onnward-engine predict model.onnx rows.json --output json")]
struct Predict {
    /// The ONNX file
    #[arg(value_name = "FILE.onnx")]
    file: PathBuf,
    /// The rows, as JSON
    #[arg(value_name = "rows.json")]
    rows: PathBuf,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without --url it asks the engine of this machine, on the address that `serve` reads from the same configuration
file and environment; where clients must have certificates, on the address of admin.listen.

Examples:
  onnward-engine health
  onnward-engine health --url http://10.0.0.7:8000/health/ready --timeout-ms 500")]
struct Health {
    /// What to ask [default: /health/ready of the address in the configuration]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// How long to wait for the answer
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    timeout_ms: u64,
    /// The TOML file that `serve` is given
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without --url it asks the engine of this machine, on the address of admin.listen in the same configuration file and
environment that `serve` reads.

Examples:
  onnward-engine reload --config engine.toml
  onnward-engine reload --url https://churn.example.com:8001/admin/reload --key-file operator.key --output json")]
struct Reload {
    /// What to ask [default: /admin/reload of admin.listen in the configuration]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A file with the API key, or token, of an administrator, where the engine asks for one
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// How long to wait for the answer
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    timeout_ms: u64,
    /// The TOML file that `serve` is given
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The key is shown once: the file holds its digest alone. The engine reads the file that auth.keys_file names
every two seconds, so a key is added, or taken out, without a restart.

Examples:
  onnward-engine api-key batch-job --scopes predict --file keys.toml
  onnward-engine api-key operator --scopes read,admin --expires 2027-12-31T00:00:00Z --output json")]
struct ApiKey {
    /// Whose key it is: a-z, 0-9 and -
    name: String,
    /// What its holder may do
    #[arg(long, value_parser = scope(), value_delimiter = ',', required = true)]
    scopes: Vec<Scope>,
    /// When it ends, in RFC 3339 [default: never]
    #[arg(long, value_name = "TIME")]
    expires: Option<DateTime<Utc>>,
    /// The file to add the entry to [default: it is printed]
    #[arg(long, value_name = "FILE.toml")]
    file: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How a command prints its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs: one JSON document.
    Json,
}

const FAILURE: u8 = 1;
const USAGE: u8 = 2;

/// Runs the program with the arguments and the environment of the process.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(serve) => match Config::load(&serve.flags(), environment()) {
            Ok(config) => exit_code(app::serve(config)),
            Err(error) => fail(&error, USAGE),
        },
        Command::Check(Check { file, output }) => exit_code(commands::check(&file, output)),
        Command::Predict(Predict { file, rows, output }) => {
            exit_code(commands::predict(&file, &rows, output))
        }
        Command::Health(health) => match health.question() {
            Ok(question) => {
                let timeout = Duration::from_millis(health.timeout_ms);
                exit_code(question.and_then(|question| commands::health(question, timeout)))
            }
            Err(error) => fail(&error, USAGE),
        },
        Command::Reload(reload) => match reload.question() {
            Ok(question) => exit_code(reload.run(question)),
            Err(error) => fail(&error, USAGE),
        },
        Command::ApiKey(ApiKey { name, scopes, expires, file, output }) => {
            exit_code(commands::api_key(NewKey { name, scopes, expires }, file.as_deref(), output))
        }
    }
}

fn environment() -> impl Iterator<Item = (String, String)> {
    vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Where the engine of this machine answers.
fn addresses(config: Option<PathBuf>) -> Result<Addresses, ConfigError> {
    Config::load_addresses(&Flags { config, ..Flags::default() }, environment())
}

impl Health {
    fn question(&self) -> Result<Result<Question, RemoteError>, ConfigError> {
        Ok(match &self.url {
            Some(url) => Ok(Question::health(url.clone())),
            None => Question::health_here(&addresses(self.config.clone())?),
        })
    }
}

impl Reload {
    fn question(&self) -> Result<Result<Question, RemoteError>, ConfigError> {
        Ok(match &self.url {
            Some(url) => Ok(Question::reload(url.clone())),
            None => Question::reload_here(&addresses(self.config.clone())?),
        })
    }

    fn run(self, question: Result<Question, RemoteError>) -> Result<(), CommandError> {
        let question = match self.key_file {
            Some(path) => question?.with_key(&commands::read_text(&path)?)?,
            None => question?,
        };
        commands::reload(question, Duration::from_millis(self.timeout_ms), self.output)
    }
}

impl Serve {
    fn flags(self) -> Flags {
        let Self { repository, alias, listen, admin_listen, backend, config } = self;
        Flags { config, repository, alias, listen, admin_listen, backend }
    }
}

fn exit_code<E: Error>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, FAILURE),
    }
}

fn fail(error: &dyn Error, code: u8) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_free_of_contradictions() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_hands_every_flag_on() {
        let words = "onnward-engine serve --repository r --alias a --listen 0.0.0.0:1 --admin-listen 127.0.0.1:2 \
                     --backend onnxruntime --config c.toml";
        let Command::Serve(serve) = Cli::try_parse_from(words.split_whitespace()).unwrap().command else {
            panic!()
        };
        let expected = Flags {
            config: Some("c.toml".into()),
            repository: Some("r".into()),
            alias: Some("a".into()),
            listen: Some("0.0.0.0:1".into()),
            admin_listen: Some("127.0.0.1:2".into()),
            backend: Some(BackendChoice::OnnxRuntime),
        };
        assert_eq!(serve.flags(), expected);
    }
}
