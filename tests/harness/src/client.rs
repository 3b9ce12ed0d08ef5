//! A client that sends one request after the other and accepts any status.

use std::time::Duration;

use serde_json::Value;

/// The timeout of a response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An HTTP client of one server.
///
/// ```no_run
/// use onnward_harness::client::{Client, json};
///
/// let client = Client::new("http://127.0.0.1:8000");
/// let models = json(client.get("/models"))?;
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    url: String,
    key: Option<String>,
    agent: ureq::Agent,
}

impl Client {
    /// Returns a client of the server at a URL.
    pub fn new(url: &str) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
        Self { url: url.to_owned(), key: None, agent: agent.build().into() }
    }

    /// Sets the API key.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Gets a path and returns the status and the body.
    ///
    /// # Errors
    /// The reason why there is no response.
    pub fn get(&self, path: &str) -> Result<(u16, String), String> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let request = self.key.iter().fold(request, |request, key| request.header("x-api-key", key));
        text(request.call())
    }

    /// Posts JSON and returns the status and the body.
    ///
    /// # Errors
    /// The reason why there is no response.
    pub fn post(&self, path: &str, body: &[u8]) -> Result<(u16, String), String> {
        let request = self.agent.post(format!("{}{path}", self.url)).content_type("application/json");
        let request = self.key.iter().fold(request, |request, key| request.header("x-api-key", key));
        text(request.send(body))
    }
}

/// Returns the JSON of an answer with status 200.
///
/// # Errors
/// Any other answer, as text.
pub fn json(answer: Result<(u16, String), String>) -> Result<Value, String> {
    match answer? {
        (200, text) => serde_json::from_str(&text).map_err(|error| error.to_string()),
        (status, text) => Err(format!("{status}: {text}")),
    }
}

/// Returns the sum of a counter's series in a scrape.
///
/// ```
/// let scrape = "requests_total{status=\"200\"} 3\nrequests_total{status=\"404\"} 1\n";
/// assert_eq!(onnward_harness::client::sum_of(scrape, "requests_total"), 4);
/// ```
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
