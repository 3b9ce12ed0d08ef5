//! A row of the sample table, as one who writes a service for it alone would type it.

use serde::Deserialize;

/// A customer: the columns of the IBM sample table "Telco Customer Churn" but for the identifier and the label.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(dead_code, reason = "the fields are parsed, and nothing is computed from them")]
pub struct Row<'a> {
    #[serde(rename = "gender")]
    gender: &'a str,
    senior_citizen: &'a str,
    partner: &'a str,
    dependents: &'a str,
    #[serde(rename = "tenure")]
    tenure: u32,
    phone_service: &'a str,
    multiple_lines: &'a str,
    internet_service: &'a str,
    online_security: &'a str,
    online_backup: &'a str,
    device_protection: &'a str,
    tech_support: &'a str,
    #[serde(rename = "StreamingTV")]
    streaming_tv: &'a str,
    streaming_movies: &'a str,
    contract: &'a str,
    paperless_billing: &'a str,
    payment_method: &'a str,
    monthly_charges: f64,
    total_charges: Option<f64>,
}
