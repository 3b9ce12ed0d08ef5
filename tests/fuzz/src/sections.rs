/// The line that begins a section, before its name.
const MARK: &str = "=== ";

/// Splits a text into its parts, each below a line `=== NAME`. Text before the first of them belongs to none.
pub fn sections(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = find_mark(rest)? + MARK.len();
        let (name, after) = rest[start..].split_once('\n').unwrap_or((&rest[start..], ""));
        let end = find_mark(after).unwrap_or(after.len());
        rest = &after[end..];
        Some((name, after[..end].trim_end_matches('\n')))
    })
}

fn find_mark(text: &str) -> Option<usize> {
    if text.starts_with(MARK) {
        return Some(0);
    }
    text.find("\n=== ").map(|at| at + 1)
}
