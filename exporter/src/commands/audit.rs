//! The audit log of a repository: commands that change it write entries, and `audit` shows them.

use std::env;
use std::fmt::{self, Display, Formatter};

use chrono::{SecondsFormat, Utc};
use onnward_repository::{Action, Actor, AuditEntry, Ending, Move, Pointer, Repository};
use rustix::process::getuid;
use rustix::system::uname;
use serde::Serialize;

use super::CommandError;
use super::repository::block_on;
use super::stdout::print;
use crate::cli::repository::AuditArguments;

/// The variable that names the user, where the system's name says nothing, as in a pipeline.
const ACTOR: &str = "ONNWARD_ACTOR";
/// The longest name, in characters.
const MAX_NAME: usize = 128;

/// Runs `work` on the repository, and records it before and after. `result` describes the outcome.
///
/// # Errors
/// Those of `work`, and those of writing the record.
pub async fn on_record<T>(
    repository: &Repository,
    action: Action,
    work: impl Future<Output = Result<T, CommandError>>,
    result: impl FnOnce(&T) -> String,
) -> Result<T, CommandError> {
    repository.audited(&actor(), action, work, result).await
}

/// Describes a change of a model.
pub fn action(command: &'static str, model: &str, what: String) -> Action {
    Action { command, model: Some(model.to_owned()), what }
}

/// Describes a move of an alias or a pin by `command`.
pub fn move_action(command: &'static str, model: &str, pointer: &Pointer, step: &Move) -> Action {
    let what = match step {
        Move::To(version) => format!("{pointer} to version {version}"),
        Move::Back => format!("{pointer} to its previous version"),
        Move::Clear => format!("remove the {pointer}"),
    };
    action(command, model, what)
}

/// Returns the time, in RFC 3339 and UTC.
pub fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Returns the user of this program, and the host.
pub fn actor() -> Actor {
    let named = [ACTOR, "LOGNAME", "USER"]
        .into_iter()
        .find_map(|name| env::var(name).ok().filter(|it| !it.is_empty()));
    let who = named.unwrap_or_else(|| format!("user {}", getuid().as_raw()));
    let from = uname().nodename().to_string_lossy().into_owned();
    Actor { who: who.chars().take(MAX_NAME).collect(), from }
}

/// The result of `audit`.
#[derive(Serialize)]
struct AuditLog {
    entries: Vec<AuditEntry>,
}

pub fn audit(arguments: &AuditArguments) -> Result<(), CommandError> {
    let AuditArguments { model, since, target } = arguments;
    let log = block_on(async { Ok(Repository::open(&target.config())?.audit_log(*since).await?) })?;
    let is_asked = |entry: &AuditEntry| model.is_none() || entry.model == *model;
    print(target.output, &AuditLog { entries: log.into_iter().filter(is_asked).collect() })
}

impl Display for AuditLog {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.entries.is_empty() {
            return writeln!(f, "the audit log has no entries");
        }
        for AuditEntry { time, who, from, command, model, what, ending, .. } in &self.entries {
            let model = model.as_deref().unwrap_or("-");
            let ending = match ending {
                // Older programs recorded a line break at the end.
                Ending::Done { result } => format!("done: {}", result.trim_end()),
                Ending::Failed { reason } => format!("failed: {reason}"),
                Ending::Unknown => "interrupted, or in progress".to_owned(),
            };
            // Control characters in an entry would move the terminal's cursor.
            let line = format!("{time}  {who}@{from}  {command} {model}: {what} → {ending}");
            writeln!(f, "{}", line.replace(char::is_control, "?"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_is_described_in_words() {
        let what = |pointer: &Pointer, step| move_action("command", "churn", pointer, &step).what;
        let champion = Pointer::Alias("champion".to_owned());
        assert_eq!(what(&champion, Move::To(2)), "alias champion to version 2");
        assert_eq!(what(&champion, Move::Back), "alias champion to its previous version");
        assert_eq!(what(&champion, Move::Clear), "remove the alias champion");
        assert_eq!(what(&Pointer::Pin, Move::Clear), "remove the pin");
    }

    #[test]
    fn an_entry_is_one_line_whatever_it_holds() {
        let entry = AuditEntry {
            id: "1".to_owned(),
            time: "2026-11-22T10:00:00.000Z".to_owned(),
            who: "mal\u{1b}[2J\nlory".to_owned(),
            from: "host".to_owned(),
            command: "promote".to_owned(),
            model: Some("churn".to_owned()),
            what: "alias champion to version 2".to_owned(),
            ending: Ending::Failed { reason: "somebody else\nwas faster".to_owned() },
        };
        let text = AuditLog { entries: vec![entry] }.to_string();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(
            text.starts_with("2026-11-22T10:00:00.000Z  mal?[2J?lory@host  promote churn: alias champion"),
            "{text:?}"
        );
    }
}
