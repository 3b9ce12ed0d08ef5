//! The command line. Arguments become the validated configuration. Exit codes are 0 for success, 1 for failure, and 2 for
//! invalid arguments or configuration.

use std::env::{args, vars_os};
use std::error::Error;
use std::io::{stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use onnward_http::auth::Scope;
use onnward_runtime::backend::BackendChoice;
use onnward_runtime::isolation::run_child;
use onnward_schemas::error_document::{ErrorDocument, asks_for_json};

use crate::admin_client::{AdminClientError, AdminRequest};
use crate::app;
use crate::commands;
use crate::commands::{CommandError, NewKey};
use crate::config::{Addresses, Config, ConfigError, Flags};

/// Serves models from ONNX files over HTTP.
#[derive(Debug, Parser)]
#[command(name = "onnward-engine", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  onnward-engine serve --repository model-repository
  onnward-engine config > engine.toml
  onnward-engine check model-repository/churn/1/model.onnx
  onnward-engine predict model-repository/churn/1/model.onnx rows.json --output json
  onnward-engine health
  onnward-engine reload
  onnward-engine api-key batch-job --scopes predict --file keys.toml";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the models of a repository over HTTP
    Serve(Serve),
    /// Verify an ONNX file: replay its golden rows on every available runtime
    Check(Check),
    /// Score the rows of a JSON file without a server
    Predict(Predict),
    /// Print every configuration key with its default, as a configuration file
    Config(ConfigReference),
    /// Check whether a running engine is ready (exit status 0) or not (1, with the reason)
    Health(Health),
    /// Make a running engine reload its repository, and wait for the result
    Reload(Reload),
    /// Create an API key and its entry for the keys file
    ApiKey(ApiKey),
    /// Run one model for a serving engine, which starts this itself
    #[command(name = ISOLATED_MODEL, hide = true)]
    IsolatedModel,
}

/// The command of a process that runs one model.
pub(crate) const ISOLATED_MODEL: &str = "isolated-model";

/// Returns a parser of names, each with its help text.
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
            "ONNX Runtime if its library is found, except for forests, which tract scores several times as \
             fast; without the library, tract"
        }
        BackendChoice::OnnxRuntime => "ONNX Runtime",
        BackendChoice::Tract => "tract",
    };
    names(BackendChoice::ALL.map(|choice| (choice, choice.name(), help(choice))))
}

fn scope() -> impl TypedValueParser<Value = Scope> {
    let help = |scope| match scope {
        Scope::Predict => "Score rows",
        Scope::Outcomes => "Report outcomes, and correct those that others reported",
        Scope::Read => "Read models, their performance and drift, and other protected routes",
        Scope::Admin => "Call the admin routes, such as reload",
    };
    names(Scope::ALL.map(|scope| (scope, scope.name(), help(scope))))
}

#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
struct Serve {
    /// The model repository: a folder, file:///folder or s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    repository: Option<String>,
    /// Alias whose version is served, unless a model is pinned [default: champion]
    #[arg(long, value_name = "ALIAS")]
    alias: Option<String>,
    /// Address to listen on [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Address of the admin routes (/admin/*); without it they are disabled
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<String>,
    /// Runtime that scores [default: auto]
    #[arg(long, value_name = "RUNTIME", value_parser = backend_choice())]
    backend: Option<BackendChoice>,
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the configuration and the files that it names, and exit: 0 if they are valid
    #[arg(long)]
    check_config: bool,
}

const SERVE_EXAMPLES: &str = "\
Every key of the configuration file can also be set in the environment: batching.workers is ONNWARD_BATCHING__WORKERS. \
Flags override the environment, which overrides the file. `onnward-engine config` prints all keys.

One version of each model is served: the pinned one, else the alias's, else the highest.

S3 stores use the [s3] table and AWS's environment variables. AWS_ACCESS_KEY_ID_FILE, AWS_SECRET_ACCESS_KEY_FILE and \
AWS_SESSION_TOKEN_FILE name files that hold keys.

Examples:
  onnward-engine serve --repository model-repository
  AWS_REGION=eu-central-1 onnward-engine serve --repository s3://models/churn --alias challenger
  ONNWARD_AUTH__KEYS_FILE=keys.toml onnward-engine serve \\
      --repository model-repository --listen 0.0.0.0:8000
  ONNWARD_LOG__LEVEL=warn onnward-engine serve --config engine.toml
  onnward-engine serve --config engine.toml --check-config";

#[derive(Debug, Args)]
#[command(after_help = "\
The config.toml beside an external file is read. ONNWARD_ONNXRUNTIME__LIBRARY sets the library of ONNX Runtime, as for \
`serve`; all other configuration keys are ignored.

Examples:
  onnward-engine check model.onnx
  onnward-engine check model.onnx --output json")]
struct Check {
    /// The ONNX file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
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
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The rows, as JSON
    #[arg(value_name = "ROWS")]
    rows: PathBuf,
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without --url it calls the local engine at the address that `serve` reads from the same configuration file and \
environment, or at admin.listen if clients need certificates. A --url without a path means its /health/ready.

Examples:
  onnward-engine health
  onnward-engine health --url http://10.0.0.7:8000 --timeout-ms 500")]
struct Health {
    #[command(flatten)]
    engine: EngineUrl,
    /// Timeout in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    timeout_ms: u64,
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

/// The running engine that is called.
#[derive(Debug, Args)]
struct EngineUrl {
    /// URL to call; the route is added if it has no path [default: the local engine's, from the configuration]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Configuration file of `serve`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A route of a running engine.
#[derive(Debug, Clone, Copy)]
enum EngineRoute {
    /// The readiness route.
    Health,
    /// The reload route.
    Reload,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onnward-engine config > engine.toml
  onnward-engine config --output json")]
struct ConfigReference {
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without --url it calls the local engine at admin.listen of the configuration file and environment that `serve` reads. \
A --url without a path means its /admin/reload.

Examples:
  onnward-engine reload --config engine.toml
  onnward-engine reload --url https://churn.example.com:8001 \\
      --key-file operator.key --output json")]
struct Reload {
    #[command(flatten)]
    engine: EngineUrl,
    /// File with an admin API key or token, if the engine requires one
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Timeout in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    timeout_ms: u64,
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The key is shown once; the file stores only its digest. The engine re-reads the file that auth.keys_file names every two \
seconds, so keys are added and removed without a restart.

Examples:
  onnward-engine api-key batch-job --scopes predict --file keys.toml
  onnward-engine api-key operator --scopes read,admin \\
      --expires 2036-12-31T00:00:00Z --output json")]
struct ApiKey {
    /// Name of the key (a-z, 0-9, -)
    name: String,
    /// Scopes of the key
    #[arg(long, value_name = "SCOPE", value_parser = scope(), value_delimiter = ',', required = true)]
    scopes: Vec<Scope>,
    /// Expiry, in RFC 3339; it must be in the future [default: never]
    #[arg(long, value_name = "TIME")]
    expires: Option<DateTime<Utc>>,
    /// Keys file to append the entry to [default: print it]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

/// The output format of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for people.
    Text,
    /// One JSON document.
    Json,
}

const FAILURE: u8 = 1;
const USAGE_ERROR: u8 = 2;

/// Describes the failure of a command.
fn failure(error: impl Error) -> ErrorDocument {
    ErrorDocument::new(error, FAILURE)
}

/// Describes the failure of a command that was called wrongly, or with an invalid configuration.
fn usage_error(error: impl Error) -> ErrorDocument {
    ErrorDocument::new(error, USAGE_ERROR)
}

/// Runs the program with the arguments and the environment of the process.
pub fn run() -> ExitCode {
    let as_json = asks_for_json(args());
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        // A request for help or the version is no error, and clap prints errors for people.
        Err(error) if !error.use_stderr() || !as_json => error.exit(),
        Err(error) => return ErrorDocument::of_usage(&error.to_string(), USAGE_ERROR).print(as_json),
    };
    match execute(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.print(as_json),
    }
}

fn execute(command: Command) -> Result<(), ErrorDocument> {
    match command {
        Command::Serve(serve) => {
            let (checks_only, flags) = (serve.check_config, serve.flags());
            let config = Config::load(&flags, environment()).map_err(usage_error)?;
            if checks_only {
                return check_config(&config);
            }
            app::serve(config, move || Config::load(&flags, environment())).map_err(failure)
        }
        Command::Check(Check { file, output }) => {
            let library = onnxruntime_library().map_err(usage_error)?;
            commands::check(&file, library.as_deref(), output).map_err(failure)
        }
        Command::Predict(Predict { file, rows, output }) => {
            let library = onnxruntime_library().map_err(usage_error)?;
            commands::predict(&file, &rows, library.as_deref(), output).map_err(failure)
        }
        Command::Config(ConfigReference { output }) => commands::config_reference(output).map_err(failure),
        Command::Health(Health { engine, timeout_ms, output }) => {
            let request = engine.request(EngineRoute::Health).map_err(usage_error)?;
            let timeout = Duration::from_millis(timeout_ms);
            commands::health(request.map_err(failure)?, timeout, output).map_err(failure)
        }
        Command::Reload(reload) => {
            let request = reload.engine.request(EngineRoute::Reload).map_err(usage_error)?;
            reload.run(request).map_err(failure)
        }
        Command::ApiKey(ApiKey { name, scopes, expires, file, output }) => {
            commands::api_key(NewKey { name, scopes, expires }, file.as_deref(), output).map_err(failure)
        }
        Command::IsolatedModel => run_child(stdin().lock(), stdout().lock()).map_err(failure),
    }
}

fn environment() -> impl Iterator<Item = (String, String)> {
    vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Returns the library of ONNX Runtime that the environment sets.
fn onnxruntime_library() -> Result<Option<PathBuf>, ConfigError> {
    Config::load_onnxruntime_library(environment())
}

/// Returns the addresses of the local engine.
fn addresses(config: Option<PathBuf>) -> Result<Addresses, ConfigError> {
    Config::load_addresses(&Flags { config, ..Flags::default() }, environment())
}

impl EngineUrl {
    /// Returns the request to the engine at `--url`, or to the local one.
    fn request(&self, route: EngineRoute) -> Result<Result<AdminRequest, AdminClientError>, ConfigError> {
        Ok(match (&self.url, route) {
            (Some(url), EngineRoute::Health) => Ok(AdminRequest::health(url.clone())),
            (Some(url), EngineRoute::Reload) => Ok(AdminRequest::reload(url.clone())),
            (None, EngineRoute::Health) => AdminRequest::local_health(&addresses(self.config.clone())?),
            (None, EngineRoute::Reload) => AdminRequest::local_reload(&addresses(self.config.clone())?),
        })
    }
}

impl Reload {
    fn run(self, request: Result<AdminRequest, AdminClientError>) -> Result<(), CommandError> {
        let request = match self.key_file {
            Some(path) => request?.with_key(&commands::read_text(&path)?)?,
            None => request?,
        };
        commands::reload(request, Duration::from_millis(self.timeout_ms), self.output)
    }
}

impl Serve {
    fn flags(self) -> Flags {
        let Self { repository, alias, listen, admin_listen, backend, config, check_config: _ } = self;
        Flags { config, repository, alias, listen, admin_listen, backend }
    }
}

/// Checks a configuration and what it names.
fn check_config(config: &Config) -> Result<(), ErrorDocument> {
    for warning in &config.warnings {
        eprintln!("warning: {warning}");
    }
    app::check(config).map_err(usage_error)?;
    println!("the configuration is valid (digest {})", config.digest());
    Ok(())
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
    fn serve_passes_every_flag() {
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
