use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use onnward_http::settings::{AccessLogConfig, AllowedHosts, Rate};
use onnward_http::tls::TlsVersion;

use onnward_onnx::ModelBounds;

use super::*;

fn load(toml: &str, variables: &[(&str, &str)], flags: &Flags) -> Result<Config, String> {
    let file = Layer::file(Path::new("engine.toml"), toml);
    let variables = variables.iter().filter_map(|(name, value)| Layer::variable(name, value));
    file.and_then(|file| {
        let layers = std::iter::once(file).chain(variables).chain(flag_layers(flags));
        extract(&merge(layers)?, raw::RawConfig::validate)
    })
    .map_err(|error| error.to_string())
}

fn with_repository() -> Flags {
    Flags { repository: Some("models".into()), ..Flags::default() }
}

#[track_caller]
fn refuses(toml: &str, variables: &[(&str, &str)], parts: &[&str]) {
    let message = load(toml, variables, &with_repository()).unwrap_err();
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
    assert!(!message.contains('\n'), "{message}");
}

#[test]
fn the_defaults_are_a_working_configuration() {
    let config = load("", &[], &with_repository()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(config.http.max_body_bytes, 8 << 20);
    assert!(config.batching.workers >= 1 && config.batching.max_queue_delay.is_zero());
    assert!(config.http.cors_origins.is_empty());
}

#[test]
fn a_public_address_needs_authentication_or_an_explicit_opt_out() {
    let everywhere = [("ONNWARD_LISTEN", "0.0.0.0:8000")];
    refuses("", &everywhere, &["`listen`", "auth.keys_file", "auth.allow_everybody = true"]);
    let keys = load("auth.keys_file = 'keys.toml'", &everywhere, &with_repository()).unwrap();
    assert_eq!(keys.auth.keys_file, Some("keys.toml".into()));
    let allowed = [everywhere[0], ("ONNWARD_AUTH__ALLOW_EVERYBODY", "true")];
    assert_eq!(load("", &allowed, &with_repository()).unwrap().auth, AuthConfig::default());
    for loopback in ["127.0.0.1:0", "[::1]:8000", "127.9.9.9:1"] {
        assert!(load("", &[("ONNWARD_LISTEN", loopback)], &with_repository()).is_ok(), "{loopback}");
    }
    refuses("", &[("ONNWARD_LISTEN", "[::]:8000")], &["auth.keys_file"]);
    refuses("auth.keys_file = ''", &[], &["auth.keys_file", "is empty"]);
    refuses("auth = { keys_file = 'k', allow_everybody = true }", &[], &["leave one of them out"]);
    refuses("auth.protect = ['docs']", &[], &["protects nothing without keys"]);
    refuses("auth = { keys_file = 'k', protect = ['health'] }", &[], &["`auth.protect", "metrics"]);
}

#[test]
fn tokens_authenticate_a_public_address_as_keys_do() {
    let everywhere = [("ONNWARD_LISTEN", "0.0.0.0:8000")];
    let toml = "[auth.jwt]\njwks = 'https://login.example/jwks'\nissuer = 'https://login.example'\naudience = 'onnward'";
    let config = load(toml, &everywhere, &with_repository()).unwrap();
    let rules = config.auth.jwt.unwrap();
    assert_eq!((rules.jwks.to_string().as_str(), rules.leeway.as_secs()), ("https://login.example/jwks", 30));
    assert!(load(&format!("auth.protect = ['docs']\n{toml}"), &[], &with_repository()).is_ok());
    refuses(&format!("auth.allow_everybody = true\n{toml}"), &[], &["leave one of them out"]);
    refuses("", &everywhere, &["auth.jwt"]);
    refuses("[auth.jwt]\njwks = 'f'", &[], &["`auth.jwt.issuer` is not set"]);
    refuses("[auth.jwt]\njwks = 'f'\nissuer = 'i'", &[], &["`auth.jwt.audience` is not set"]);
    refuses("[auth.jwt]\nalgorithms = ['none']", &[], &["`auth.jwt.algorithms", "\"none\"", "`RS256`"]);
    refuses("[auth.jwt]\nkeys = 'f'", &[], &["unknown key `auth.jwt.keys`", "`jwks`"]);
    let variable = [("ONNWARD_AUTH__JWT__JWKS", "http://login.example/jwks")];
    let rest = "[auth.jwt]\nissuer = 'i'\naudience = 'a'";
    refuses(rest, &variable, &["ONNWARD_AUTH__JWT__JWKS", "must begin with https://"]);
}

#[test]
fn the_admin_address_needs_authentication_like_the_public_one() {
    assert_eq!(load("", &[], &with_repository()).unwrap().admin_listen, None);
    let admin = |address: &str| load(&format!("admin.listen = '{address}'"), &[], &with_repository());
    assert_eq!(admin("127.0.0.1:8001").unwrap().admin_listen, Some("127.0.0.1:8001".parse().unwrap()));
    refuses("admin.listen = '0.0.0.0:8001'", &[], &["`admin.listen`", "auth.keys_file"]);
    refuses("admin.listen = '8001'", &[], &["`admin.listen` (engine.toml) is \"8001\"", "127.0.0.1:8001"]);
    let flags = Flags { admin_listen: Some("0.0.0.0:1".into()), ..with_repository() };
    assert!(load("", &[], &flags).unwrap_err().contains("`admin.listen` (flag --admin-listen)"));
}

#[test]
fn tls_needs_a_certificate_and_its_key() {
    assert_eq!(load("", &[], &with_repository()).unwrap().tls, None);
    let tls = load(
        "[tls]\ncertificate_file = 'c'\nprivate_key_file = 'k'\nmin_version = '1.3'",
        &[],
        &with_repository(),
    );
    assert_eq!(tls.unwrap().tls.unwrap().min_version, TlsVersion::V1_3);
    refuses("tls.certificate_file = 'c'", &[], &["`tls.private_key_file`", "name both"]);
    refuses("tls.private_key_file = 'k'", &[], &["`tls.certificate_file`", "name both"]);
    refuses("tls.client_ca_file = 'ca'", &[], &["`tls.certificate_file`", "`tls.client_ca_file`"]);
    refuses("tls.min_version = '1.1'", &[], &["`tls.min_version` (engine.toml) is \"1.1\"", "`1.2`, `1.3`"]);
}

#[test]
fn limits_are_whole_numbers_in_their_ranges() {
    let limits = load("", &[], &with_repository()).unwrap().limits;
    assert_eq!(
        (limits.clone(), limits.address_rate, limits.max_connections),
        (LimitsConfig::default(), None, None)
    );
    let toml = "[limits]\nrequests_per_second_per_key = 50\nburst_per_key = 200\nrequests_per_second_per_address = 5\n\
                trusted_proxies = ['10.0.0.0/8', '192.0.2.7']";
    let limits = load(toml, &[], &with_repository()).unwrap().limits;
    let rate = |rate: Option<Rate>| rate.map(|rate| (rate.per_second.get(), rate.burst.get()));
    assert_eq!((rate(limits.key_rate), rate(limits.address_rate)), (Some((50, 200)), Some((5, 5))));
    assert!(limits.trusted_proxies[1].contains(&"192.0.2.7".parse::<std::net::IpAddr>().unwrap()));
    refuses("limits.burst_per_key = 5", &[], &["`limits.burst_per_key`", "set both"]);
    refuses(
        "limits.trusted_proxies = ['proxy']",
        &[],
        &["`limits.trusted_proxies` (engine.toml) has \"proxy\""],
    );
    refuses(
        "limits.max_header_bytes = 100",
        &[],
        &["`limits.max_header_bytes` (engine.toml) is 100", "from 8192"],
    );
    refuses("http.errors = 'none'", &[], &["`http.errors", "`full`, `terse`"]);
}

#[test]
fn addresses_load_without_a_repository() {
    let variables = [("ONNWARD_LISTEN".to_owned(), "0.0.0.0:80".to_owned())];
    let addresses = Config::load_addresses(&Flags::default(), variables).unwrap();
    assert_eq!(
        (addresses.listen.to_string(), addresses.admin_listen, addresses.tls),
        ("0.0.0.0:80".to_owned(), None, None)
    );
}

#[test]
fn the_library_of_onnx_runtime_loads_without_the_other_keys() {
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    // `check` and `predict` also run where variables are set for other programs.
    let others = || [variable("ONNWARD_ACTOR", "ada"), variable("ONNWARD_BATCHING__WORKERS", "many")];
    assert_eq!(Config::load_onnxruntime_library(others()).unwrap(), None);
    let library = variable(ONNXRUNTIME_LIBRARY_VARIABLE, "/opt/libonnxruntime.so");
    let found = Config::load_onnxruntime_library(others().into_iter().chain([library])).unwrap();
    assert_eq!(found, Some("/opt/libonnxruntime.so".into()));
    let variables = [(ONNXRUNTIME_LIBRARY_VARIABLE, "/opt/libonnxruntime.so")];
    assert_eq!(load("", &variables, &with_repository()).unwrap().onnxruntime_library, found);
}

#[test]
fn flags_override_variables_which_override_the_file() {
    let toml = "listen = '127.0.0.1:1'\nbackend = 'tract'\n[batching]\nmax_batch_rows = 7\nworkers = 3";
    let variables = [("ONNWARD_LISTEN", "127.0.0.1:2"), ("ONNWARD_BATCHING__MAX_BATCH_ROWS", "8")];
    let flags = Flags { listen: Some("127.0.0.1:3".into()), ..with_repository() };
    let config = load(toml, &variables, &flags).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!((config.batching.max_batch_rows, config.batching.workers), (Some(8), 3));
    assert_eq!(config.backend, BackendChoice::Tract);
    assert_eq!(config.batching.max_queue_rows, 16_384);
    assert_eq!(load(toml, &variables, &with_repository()).unwrap().listen.port(), 2);
}

#[test]
fn an_unknown_key_is_named_with_its_source_and_the_valid_ones() {
    refuses("lisen = 'x'", &[], &["unknown key `lisen` (engine.toml)", "`listen`"]);
    refuses("[batching]\nrows = 1", &[], &["`batching.rows` (engine.toml)", "`max_batch_rows`"]);
    let variable = [("ONNWARD_HTTP__MAX_BODY", "1")];
    refuses(
        "",
        &variable,
        &["`http.max_body` (environment variable ONNWARD_HTTP__MAX_BODY)", "`max_body_bytes`"],
    );
}

#[test]
fn a_bad_value_is_named_with_its_source_and_what_is_valid() {
    refuses(
        "[batching]\nmax_batch_rows = 0",
        &[],
        &["`batching.max_batch_rows` (engine.toml) is 0", "from 1 to"],
    );
    refuses("[batching]\nworkers = -1", &[], &["`batching.workers` (engine.toml)", "-1", "from 0 to"]);
    refuses("", &[("ONNWARD_BACKEND", "gpu")], &["ONNWARD_BACKEND", "\"gpu\"", "`onnxruntime`, `tract`"]);
    refuses(
        "",
        &[("ONNWARD_LISTEN", "8000")],
        &["`listen`", "ONNWARD_LISTEN", "is \"8000\"", "127.0.0.1:8000"],
    );
    refuses("listen = 8000", &[], &["`listen` (engine.toml) is 8000", "a string such as \"127.0.0.1:8000\""]);
    refuses(
        "tls.min_version = 1.3",
        &[],
        &["`tls.min_version` (engine.toml) is 1.3", "a string such as \"1.2\""],
    );
    refuses("[auth]\nprotect = [7]", &[], &["`auth.protect.0` (engine.toml) is 7"]);
    refuses("listen = 'localhost'", &[], &["`listen` (engine.toml) is \"localhost\"", "127.0.0.1:8000"]);
    refuses("http = 3", &[], &["`http` (engine.toml) is 3", "table"]);
    refuses("default_model = '../x'", &[], &["`default_model`", "a-z"]);
    refuses("[http]\ncors_origins = ['example.org']", &[], &["`http.cors_origins`", "https://example.org"]);
    refuses("[drift]\nsample = 1.5", &[], &["`drift.sample` (engine.toml) is 1.5", "to 1"]);
    refuses(
        "[drift]\nmin_rows = 20000",
        &[],
        &["`drift.min_rows` (engine.toml) is 20000", "`drift.window_rows`, 10000"],
    );
    refuses("[drift]\nalpha = 'low'", &[], &["`drift.alpha` (engine.toml)", "a number"]);
    refuses("[log]\nlevel = 'loud'", &[], &["`log.level`", "\"loud\"", "`debug`"]);
}

/// The error for every number with a range states the range, whatever the invalid value is. No message names
/// a Rust type.
#[test]
fn what_is_not_a_value_of_its_key_is_told_what_is() {
    for (path, key) in keys::all() {
        for bad in ["-1", "-1.5", "'abc'", "true", "[[1]]", "{ a = 1 }"] {
            let Err(message) = load(&format!("{path} = {bad}"), &[], &with_repository()) else { continue };
            let is_about_it = message.contains(&format!("`{path}")) && message.contains("(engine.toml)");
            // A rule that joins two keys may name the other one.
            assert!(is_about_it || message.contains('`'), "{path} = {bad}: {message}");
            for word in ["enum ", "struct ", "u64", "f64", "usize", "variant", "sequence", "tuple", "newtype"]
            {
                assert!(!message.contains(word), "{path} = {bad}: {message}");
            }
            if let (Some(range), "-1" | "'abc'") = (key.range, bad) {
                assert!(message.contains(&range.to_string()), "{path} = {bad}: {message}");
            }
        }
    }
}

/// The keys that are deserialized are those of the table: none is left out of the reference.
#[test]
fn the_table_has_every_key_that_is_read() {
    let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, _) in keys::all() {
        let (table, name) = path.rsplit_once('.').unwrap_or(("", &path));
        tables.entry(table.to_owned()).or_default().insert(name.to_owned());
        // A table is a key of the one that it stands in.
        let mut table = table;
        while !table.is_empty() {
            let (outer, name) = table.rsplit_once('.').unwrap_or(("", table));
            tables.entry(outer.to_owned()).or_default().insert(name.to_owned());
            table = outer;
        }
    }
    for (table, expected) in tables {
        let toml = if table.is_empty() { "nokey = 1".to_owned() } else { format!("[{table}]\nnokey = 1") };
        let message = load(&toml, &[], &with_repository()).unwrap_err();
        let (_, valid) = message.split_once("valid keys are ").expect(&message);
        let valid: BTreeSet<String> = valid.split(", ").map(|key| key.trim_matches('`').to_owned()).collect();
        assert_eq!(valid, expected, "[{table}]");
    }
}

/// The parts have defaults of their own for those who use them without a configuration.
#[test]
fn the_defaults_of_the_parts_are_those_of_the_table() {
    let config = load("", &[], &with_repository()).unwrap();
    assert_eq!(config.models.bounds, ModelBounds::default());
    assert_eq!(config.metrics, MetricsConfig::default());
    assert_eq!(config.http.access_log, AccessLogConfig::default());
    assert_eq!(config.limits, LimitsConfig::default());
}

#[test]
fn a_key_of_text_takes_a_variable_as_it_is() {
    let variables =
        [("ONNWARD_ALIAS", "12"), ("ONNWARD_DEFAULT_MODEL", "true"), ("ONNWARD_BACKEND", "\"tract\"")];
    let config = load("", &variables, &with_repository()).unwrap();
    assert_eq!((config.alias.as_str(), config.default_model.as_deref()), ("12", Some("true")));
    assert_eq!(config.backend, BackendChoice::Tract);
    let tls = [
        ("ONNWARD_TLS__MIN_VERSION", "1.3"),
        ("ONNWARD_TLS__CERTIFICATE_FILE", "c"),
        ("ONNWARD_TLS__PRIVATE_KEY_FILE", "k"),
    ];
    assert_eq!(load("", &tls, &with_repository()).unwrap().tls.unwrap().min_version, TlsVersion::V1_3);
}

#[test]
fn predictions_are_stored_only_if_a_folder_is_set() {
    let outcomes = load("", &[], &with_repository()).unwrap().outcomes;
    assert_eq!((outcomes.folder, outcomes.max_predictions), (None, 10_000_000));
    let variables =
        [("ONNWARD_OUTCOMES__FOLDER", "/var/lib/onnward"), ("ONNWARD_OUTCOMES__RETENTION_DAYS", "7")];
    let outcomes = load("[outcomes]\nretention_days = 30", &variables, &with_repository()).unwrap().outcomes;
    assert_eq!(outcomes.folder, Some("/var/lib/onnward".into()));
    assert_eq!(outcomes.retention.as_secs(), 7 * 86_400);
    refuses(
        "[outcomes]\nretention_days = 0",
        &[],
        &["`outcomes.retention_days` (engine.toml) is 0", "from 1 to"],
    );
    refuses("[outcomes]\nfolder = ''", &[], &["`outcomes.folder` (engine.toml) is empty"]);
    refuses("[outcomes]\nkeep = true", &[], &["unknown key `outcomes.keep`", "`max_predictions`"]);
}

#[test]
fn secrets_are_read_verbatim_and_never_shown() {
    let toml = "[s3]\naccess_key_id = 'id'\nregion = 'eu-central-1'\nallow_http = true";
    let variables = [("ONNWARD_S3__SECRET_ACCESS_KEY", "12345")];
    let config = load(toml, &variables, &with_repository()).unwrap();
    assert_eq!(config.repository.s3.secret_access_key, Some("12345".into()));
    assert_eq!(config.repository.s3.allow_http, Some(true));
    assert!(!format!("{config:?}").contains("12345"));
    let message = load("[s3]\nsession_token = 98765", &[], &with_repository()).unwrap_err();
    assert!(message.contains("`s3.session_token` (engine.toml) must be a string"), "{message}");
    assert!(!message.contains("98765"), "{message}");
    refuses("[s3]\nkey = 'x'", &[], &["unknown key `s3.key`", "`secret_access_key`"]);
}

#[test]
fn the_alias_is_champion_unless_another_is_named() {
    assert_eq!(load("", &[], &with_repository()).unwrap().alias, "champion");
    let flags = Flags { alias: Some("challenger".into()), ..with_repository() };
    assert_eq!(load("alias = 'other'", &[], &flags).unwrap().alias, "challenger");
    refuses("alias = 'a/b'", &[], &["`alias` (engine.toml) is \"a/b\"", "a-z"]);
}

#[test]
fn a_file_that_is_not_toml_is_named_with_the_line() {
    refuses("listen = 'x'\nbackend = ", &[], &["engine.toml is not TOML: line 2"]);
}

#[test]
fn a_missing_repository_says_how_to_name_one() {
    let message = load("", &[], &Flags::default()).unwrap_err();
    assert!(message.contains("--repository URL") && message.contains("ONNWARD_REPOSITORY"), "{message}");
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_are_ignored() {
    let links = [
        ("ONNWARD_SERVICE_HOST", "10.0.0.1"),
        ("ONNWARD_SERVICE_PORT_HTTP", "8000"),
        ("ONNWARD_PORT", "tcp://10.0.0.1:8000"),
        ("ONNWARD_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("ONNWARD_ENGINE_SERVICE_PORT", "8000"),
        ("OTHER_LISTEN", "x"),
        // The exporter's.
        ("ONNWARD_ACTOR", "nightly-job"),
        ("ONNWARD_WEBHOOKS", "https://hooks.example/models"),
        ("ONNWARD_ENGINE_KEY", "secret"),
        ("ONNWARD_ENGINE_KEY_FILE", "operator.key"),
    ];
    assert!(load("", &links, &with_repository()).is_ok());
}

#[test]
fn origins_may_come_from_the_environment_as_a_list() {
    let variables = [("ONNWARD_HTTP__CORS_ORIGINS", "[\"https://a.example\", \"http://localhost:3000\"]")];
    let config = load("", &variables, &with_repository()).unwrap();
    assert_eq!(config.http.cors_origins, ["https://a.example", "http://localhost:3000"]);
}

#[test]
fn a_loopback_address_without_keys_is_served_under_loopback_hosts_only() {
    let hosts = |toml: &str, variables: &[(&str, &str)]| {
        let http = load(toml, variables, &with_repository()).unwrap().http;
        (http.allowed_hosts, http.admin_allowed_hosts)
    };
    assert_eq!(hosts("", &[]), (AllowedHosts::Loopback, AllowedHosts::Loopback));
    assert_eq!(hosts("auth.keys_file = 'k'", &[]), (AllowedHosts::Any, AllowedHosts::Any));
    let open = "listen = '0.0.0.0:80'\n[auth]\nallow_everybody = true\n[admin]\nlisten = '127.0.0.1:81'";
    assert_eq!(hosts(open, &[]), (AllowedHosts::Any, AllowedHosts::Loopback));
    let listed = AllowedHosts::Listed(vec!["api.example.org".to_owned(), "*.example.net:8443".to_owned()]);
    let variable = [("ONNWARD_HTTP__ALLOWED_HOSTS", "[\"api.example.org\", \"*.example.net:8443\"]")];
    assert_eq!(hosts("", &variable), (listed.clone(), listed));
    assert_eq!(hosts("http.allowed_hosts = ['x', '*']", &[]).0, AllowedHosts::Any);
    for bad in ["https://x", "", "a/b", "a*b", "x:y"] {
        refuses(
            &format!("http.allowed_hosts = ['{bad}']"),
            &[],
            &["`http.allowed_hosts`", "api.example.org"],
        );
    }
}

#[test]
fn bands_of_risk_ascend_between_0_and_1() {
    let config = load("[metrics]\nrisk_bands = [0.5]\nenabled = false", &[], &with_repository()).unwrap();
    assert_eq!((config.metrics.risk_bands, config.metrics.enabled), (vec![0.5], false));
    for bands in ["[]", "[0.6, 0.3]", "[0.3, 0.3]", "[0.0, 0.5]", "[0.5, 1.0]", "[0.1, 0.2, 0.3, 0.4, 0.5]"] {
        refuses(&format!("[metrics]\nrisk_bands = {bands}"), &[], &["`metrics.risk_bands`", "ascending"]);
    }
}

#[test]
fn times_and_sizes_may_have_units_in_every_source() {
    let toml = "watch.interval_ms = '2s'\nhttp.max_body_bytes = '16MiB'\noutcomes.retention_days = '12weeks'";
    let variables = [("ONNWARD_MODELS__MEMORY", "4GiB"), ("ONNWARD_HTTP__REQUEST_TIMEOUT_MS", "1m 30s")];
    let config = load(toml, &variables, &with_repository()).unwrap();
    assert_eq!(config.watch.interval, Duration::from_secs(2));
    assert_eq!((config.http.max_body_bytes, config.models.memory), (16 << 20, Some(4 << 30)));
    assert_eq!(config.http.request_timeout, Duration::from_secs(90));
    refuses("watch.interval_ms = 'soon'", &[], &["`watch.interval_ms`", "\"soon\"", "from 10 to", "500ms"]);
    refuses("watch.interval_ms = '2h 1us'", &[], &["`watch.interval_ms`"]);
    refuses("watch.interval_ms = '30days'", &[], &["2592000000", "from 10 to"]);
    refuses("", &[("ONNWARD_HTTP__MAX_BODY_BYTES", "16 potatoes")], &["`http.max_body_bytes`", "64MiB"]);
}

#[test]
fn the_paths_of_a_file_are_relative_to_it_and_all_others_to_the_working_directory() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("engine.toml");
    let toml = "repository = 'models'\n[tls]\ncertificate_file = '/etc/a.pem'\nprivate_key_file = 'keys/a.key'\n\
                [signing]\npublic_keys = ['one.pub', '/two.pub']\n[cache]\nfolder = ''\n[capture]\n\
                place = 's3://bucket/captures'\n[auth]\nkeys_file = '../keys.toml'";
    std::fs::write(&path, toml).unwrap();
    let flags = Flags { config: Some(path), ..Flags::default() };
    let config = Config::load(&flags, []).unwrap();
    let within = |name: &str| folder.path().join(name);
    assert_eq!(Path::new(&config.repository.location), within("models"));
    let tls = config.tls.unwrap();
    assert_eq!((tls.certificate_file, tls.private_key_file), ("/etc/a.pem".into(), within("keys/a.key")));
    assert_eq!(config.public_keys, [within("one.pub"), "/two.pub".into()]);
    assert_eq!(config.auth.keys_file, Some(within("../keys.toml")));
    let given = [("ONNWARD_AUTH__KEYS_FILE".to_owned(), "keys.toml".to_owned())];
    let flags = Flags { repository: Some("here".into()), ..flags };
    let config = Config::load(&flags, given).unwrap();
    assert_eq!(
        (config.repository.location.as_str(), config.auth.keys_file),
        ("here", Some("keys.toml".into()))
    );
}

#[test]
fn an_address_may_be_a_name() {
    let listen =
        |address| load("", &[("ONNWARD_LISTEN", address)], &with_repository()).map(|config| config.listen);
    assert_eq!(listen("localhost:8000").unwrap().to_string(), "127.0.0.1:8000");
    for bad in ["localhost", ":8000", "localhost:http", "nowhere.invalid:80"] {
        assert!(listen(bad).unwrap_err().contains(bad), "{bad}");
    }
}

fn with_variables(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(&with_repository(), owned)
}

#[test]
fn the_variables_of_open_telemetry_set_what_nothing_else_sets() {
    let traces = |variables: &[(&str, &str)]| {
        let config = with_variables(variables).unwrap();
        (config.tracing.map(|traces| (traces.endpoint, traces.sample.value())), config.warnings.join("\n"))
    };
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
    let sent = |share: f64| Some(("http://c:4318/v1/traces".to_owned(), share));
    assert_eq!(traces(&[]), (None, String::new()));
    assert_eq!(traces(&[endpoint]), (sent(1.0), String::new()));
    let sampled =
        [endpoint, ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.25")];
    assert_eq!(traces(&sampled).0, sent(0.25));
    let own = [
        endpoint,
        sampled[1],
        ("ONNWARD_TRACING__ENDPOINT", "http://o:1"),
        ("ONNWARD_TRACING__SAMPLE", "0.5"),
    ];
    assert_eq!(traces(&own).0, Some(("http://o:1/v1/traces".to_owned(), 0.5)));
    let of_traces = [endpoint, ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t:1/v1/traces")];
    assert_eq!(traces(&of_traces).0, Some(("http://t:1/v1/traces".to_owned(), 1.0)));
    for (off, told) in [
        (("OTEL_SDK_DISABLED", "true"), "OTEL_SDK_DISABLED"),
        (("OTEL_TRACES_EXPORTER", "none"), "OTEL_TRACES_EXPORTER"),
        (("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), "grpc"),
    ] {
        let (none, warning) = traces(&[endpoint, off]);
        assert!(none.is_none() && warning.contains(told), "{off:?}: {warning}");
    }
    let (all, warning) = traces(&[endpoint, ("OTEL_TRACES_SAMPLER", "jaeger_remote")]);
    assert!(all == sent(1.0) && warning.contains("OTEL_TRACES_SAMPLER is ignored"), "{warning}");
}

#[test]
fn a_changed_configuration_is_applied_by_the_keys_that_say_so() {
    let before = with_variables(&[]).unwrap();
    for (name, key) in keys::all() {
        // Each of these takes the place of the default.
        let value = match name.as_str() {
            "default_model" => "bank",
            "required_models" | "models.names" => "[\"bank\"]",
            "required_alias" => "true",
            "loaded_versions" => "7",
            "watch.interval_ms" | "watch.max_backoff_ms" | "log.access_slow_ms" => "7777",
            "log.level" => "debug",
            "log.access_sample" => "0.5",
            "log.access_lines_per_second" => "7",
            _ if key.is_reloadable => panic!("{name} has no test"),
            _ => continue,
        };
        let variable = format!("ONNWARD_{}", name.replace('.', "__").to_uppercase());
        let after = with_variables(&[(&variable, value)]).unwrap();
        assert_eq!(before.changed_keys(&after), [name.as_str()]);
        assert_ne!(before.digest(), after.digest(), "{name}");
        assert_eq!(before.reloaded(&after), after, "{name}");
    }
    let after =
        with_variables(&[("ONNWARD_BATCHING__WORKERS", "7"), ("ONNWARD_LOG__LEVEL", "warn")]).unwrap();
    let running = before.reloaded(&after);
    assert_eq!(running.changed_keys(&after), ["batching.workers"]);
    assert_eq!((running.batching, running.log.level), (before.batching, after.log.level));
}

/// Jobs set the variables of both programs.
#[test]
fn no_variable_that_the_exporter_documents_stops_the_engine() {
    let documents = [
        include_str!("../../../exporter/README.md"),
        include_str!("../../../schemas/repository/README.md"),
        include_str!("../../../exporter/src/cli.rs"),
        include_str!("../../../exporter/src/cli/repository.rs"),
    ];
    let is_name = |byte: char| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == '_';
    let mut names = BTreeSet::new();
    for document in documents {
        for word in document.split(|char| !is_name(char)).filter(|word| word.starts_with("ONNWARD_")) {
            // Of a variable whose end is left out, any will do.
            names.insert(if word.ends_with('_') { format!("{word}ACCESS_KEY_ID") } else { word.to_owned() });
        }
    }
    assert!(names.len() > 4, "{names:?}");
    for name in names {
        let key = name.strip_prefix("ONNWARD_").unwrap().to_lowercase().replace("__", ".");
        let is_own = keys::find(&key).is_some();
        let layer = Layer::variable(&name, "x");
        assert!(is_own || layer.is_none(), "{name} stops the engine");
    }
}
