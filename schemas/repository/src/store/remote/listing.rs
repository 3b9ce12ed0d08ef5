//! Pages of listings: `ListBucketResult` of S3.

use std::ops::Range;

use bytes::Bytes;
use object_store::path::Path;
use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::Event;
use thiserror::Error;

use crate::store::passed_over::PassedOver;

const ROOT: &[u8] = b"ListBucketResult";

/// The reason why an answer is not a page of a listing.
#[derive(Debug, Error)]
pub enum NoListing {
    #[error(
        "the store's answer is not a listing, but begins with {found}: check the endpoint, the bucket and \
         s3.path_style"
    )]
    Other { found: String },
    #[error("the store's listing is malformed: {reason}")]
    Malformed { reason: String },
    #[error("a page of the store's listing is larger than 16 MiB")]
    TooLarge,
}

/// Returns a page without the entries whose names cannot be paths, which are reported.
pub fn checked(page: Bytes, passed_over: &PassedOver) -> Result<Bytes, NoListing> {
    let left_out = entries_to_leave_out(&page, passed_over)?;
    if left_out.is_empty() {
        return Ok(page);
    }
    let mut kept = Vec::with_capacity(page.len());
    let mut end = 0;
    for entry in left_out {
        kept.extend_from_slice(page.get(end..entry.start).unwrap_or_default());
        end = entry.end;
    }
    kept.extend_from_slice(page.get(end..).unwrap_or_default());
    Ok(kept.into())
}

/// Returns the places of the entries whose names cannot be paths.
fn entries_to_leave_out(page: &[u8], passed_over: &PassedOver) -> Result<Vec<Range<usize>>, NoListing> {
    let mut reader = Reader::from_reader(page);
    let mut left_out = Vec::new();
    let mut depth = 0;
    let mut has_root = false;
    // The entry that is being read: its start, and whether its name can be a path.
    let mut entry = None;
    loop {
        let start = position(&reader);
        match reader.read_event().map_err(|error| NoListing::Malformed { reason: error.to_string() })? {
            Event::Start(element) => {
                let name = element.local_name();
                match (depth, name.as_ref()) {
                    (0, ROOT) => has_root = true,
                    (0, _) => return Err(other(page)),
                    (1, b"Contents" | b"CommonPrefixes") => entry = Some((start, true)),
                    (2, b"Key" | b"Prefix") => {
                        let text = reader.read_text(element.name());
                        let text =
                            text.map_err(|error| NoListing::Malformed { reason: error.to_string() })?;
                        if let Some((_, is_path)) = &mut entry {
                            *is_path = can_be_path(&text, passed_over);
                        }
                        // The end was read too.
                        continue;
                    }
                    _ => {}
                }
                depth += 1;
            }
            Event::Empty(element) if depth == 0 => {
                if element.local_name().as_ref() != ROOT {
                    return Err(other(page));
                }
                has_root = true;
            }
            Event::End(_) => {
                depth -= 1;
                if depth == 1
                    && let Some((start, false)) = entry.take()
                {
                    left_out.push(start..position(&reader));
                }
            }
            Event::Eof if !has_root => return Err(other(page)),
            Event::Eof if depth > 0 => {
                return Err(NoListing::Malformed { reason: "it ends too early".to_owned() });
            }
            Event::Eof => return Ok(left_out),
            _ => {}
        }
    }
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

/// Returns whether a name can be a path. One that cannot is reported.
fn can_be_path(escaped: &[u8], passed_over: &PassedOver) -> bool {
    let text = std::str::from_utf8(escaped).ok().and_then(|escaped| unescape(escaped).ok());
    // object_store would take `/x` for `x`, which may be there too.
    let is_same = |name: &str, path: Path| name.strip_suffix('/').unwrap_or(name) == path.as_ref();
    let is_path = text.as_deref().is_some_and(|name| Path::parse(name).is_ok_and(|path| is_same(name, path)));
    if !is_path {
        let name = text.unwrap_or_else(|| String::from_utf8_lossy(escaped));
        passed_over
            .report(&name, "its key is no path: it has an empty part, `.`, `..` or a control character");
    }
    is_path
}

/// Returns the error for an answer of another kind, with its beginning.
fn other(page: &[u8]) -> NoListing {
    const MAX_CHARS: usize = 40;
    let text = String::from_utf8_lossy(page);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    // The declaration says nothing.
    let text =
        text.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")).map_or(text, |(_, rest)| rest);
    let found: String = text.trim_start().chars().take(MAX_CHARS).collect();
    NoListing::Other { found: if found.is_empty() { "nothing".to_owned() } else { format!("{found:?}") } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[&str], prefixes: &[&str]) -> Bytes {
        let contents = keys.iter().map(|key| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                 <ETag>&quot;x&quot;</ETag><Size>1</Size><Owner><ID>1</ID></Owner></Contents>"
            )
        });
        let folders = prefixes
            .iter()
            .map(|prefix| format!("<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"));
        let entries: String = contents.chain(folders).collect();
        let text = format!(
            "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\"><Name>b</Name><Prefix>models//</Prefix>\
             <IsTruncated>true</IsTruncated>{entries}<NextContinuationToken>t</NextContinuationToken></ListBucketResult>"
        );
        text.into()
    }

    #[test]
    fn entries_whose_names_are_no_paths_are_left_out_wherever_they_are() {
        let good = ["models/churn/1/model.onnx", "a&amp;b", "models/churn/", "&#65;", "ä/1"];
        let bad = ["models//x", "./x", "a/../b", "//", "a/&#1;b", "/x/", "a/&unknown;", "a\u{7f}"];
        // Every way to put one bad name among the good ones.
        for name in bad {
            for at in 0..=good.len() {
                let mut names = good.to_vec();
                names.insert(at, name);
                let passed_over = PassedOver::default();
                let kept = checked(page(&names, &names), &passed_over).unwrap();
                assert_eq!(kept, page(&good, &good), "{name:?} at {at}");
                assert_eq!(passed_over.reported().len(), 1, "{name:?} is reported once");
            }
        }
        let all = page(&good, &[]);
        assert_eq!(checked(all.clone(), &PassedOver::default()).unwrap(), all);
        let none = checked(page(&bad, &bad), &PassedOver::default()).unwrap();
        assert_eq!(none, page(&[], &[]));
    }

    #[test]
    fn an_answer_that_is_no_listing_is_told_by_its_beginning() {
        for (answer, expected) in [
            ("<html><body>Sign in</body></html>", "\"<html><body>Sign in"),
            ("<?xml version=\"1.0\"?>\n<ListAllMyBucketsResult/>", "\"<ListAllMyBucketsResult/>\""),
            ("<!DOCTYPE html><html>", "\"<!DOCTYPE html><html>\""),
            ("{}", "\"{}\""),
            ("  ", "nothing"),
            ("", "nothing"),
        ] {
            let error = checked(answer.into(), &PassedOver::default()).unwrap_err().to_string();
            assert!(error.contains(&format!("begins with {expected}")), "{error}");
        }
        let whole = page(&["a", "b"], &["c"]);
        for end in 1..whole.len() {
            assert!(checked(whole.slice(..end), &PassedOver::default()).is_err(), "cut at {end}");
        }
    }
}
