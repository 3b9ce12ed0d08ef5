/// Patterns of model names: a name, or the beginning of names followed by `*`.
///
/// ```
/// use onnward_serving::watcher::NamePatterns;
///
/// let patterns = NamePatterns(vec!["churn*".to_owned(), "fraud".to_owned()]);
/// assert!(patterns.cover("churn") && patterns.cover("churn-eu") && patterns.cover("fraud"));
/// assert!(!patterns.cover("fraud-eu") && !patterns.cover("bank"));
/// assert!(NamePatterns::default().cover("bank"), "without patterns, every model is served");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamePatterns(pub Vec<String>);

impl NamePatterns {
    /// Returns whether a pattern covers a name. Without patterns, every name is covered.
    pub fn cover(&self, name: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        };
        self.0.is_empty() || self.0.iter().any(matches)
    }
}
