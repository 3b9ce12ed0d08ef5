//! A client that asks one thing after the other, and takes whatever comes as an answer.

use std::time::Duration;

use serde_json::Value;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Who asks.
#[derive(Debug, Clone)]
pub struct Client {
    url: String,
    key: Option<String>,
    agent: ureq::Agent,
}

impl Client {
    /// One of the server at this URL.
    pub fn new(url: &str) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
        Self { url: url.to_owned(), key: None, agent: agent.build().into() }
    }

    /// The same with an API key.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Gets a path: the status and the answer.
    ///
    /// # Errors
    /// Why there is none.
    pub fn get(&self, path: &str) -> Result<(u16, String), String> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let request = self.key.iter().fold(request, |request, key| request.header("x-api-key", key));
        text(request.call())
    }

    /// Posts JSON: the status and the answer.
    ///
    /// # Errors
    /// Why there is none.
    pub fn post(&self, path: &str, body: &[u8]) -> Result<(u16, String), String> {
        let request = self.agent.post(format!("{}{path}", self.url)).content_type("application/json");
        let request = self.key.iter().fold(request, |request, key| request.header("x-api-key", key));
        text(request.send(body))
    }
}

/// The JSON of an answer with 200.
///
/// # Errors
/// What else came.
pub fn json(answer: Result<(u16, String), String>) -> Result<Value, String> {
    match answer? {
        (200, text) => serde_json::from_str(&text).map_err(|error| error.to_string()),
        (status, text) => Err(format!("{status}: {text}")),
    }
}

/// The sum of the series of a counter in a scrape.
pub fn sum_of(text: &str, name: &str) -> u64 {
    let series =
        text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    let values = series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum::<f64>() as u64
}

fn text(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<(u16, String), String> {
    let mut response = result.map_err(|error| error.to_string())?;
    let text = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
    Ok((response.status().as_u16(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_the_sum_of_its_series() {
        let text = "# HELP a_total Some.\na_total{reason=\"x\"} 3\na_total{reason=\"y\"} 4\na_total_b 9\nb_total 9\n";
        assert_eq!((sum_of(text, "a_total"), sum_of(text, "b_total"), sum_of(text, "c_total")), (7, 9, 0));
    }
}
