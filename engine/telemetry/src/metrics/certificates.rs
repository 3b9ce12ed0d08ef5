use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{GaugeVec, Registry};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::float_gauges;

/// The certificate expiry metrics: of the engine, of the proxy before it, or of the store.
#[derive(Debug)]
pub struct CertificateMetrics {
    expiry: GaugeVec,
    files: Mutex<Files>,
}

#[derive(Debug)]
struct Files {
    /// Each file, and whether its last read failed. A failure is logged once.
    known: Vec<(PathBuf, bool)>,
    read_at: Option<Instant>,
}

/// The interval after which files are read again. Certificates last for weeks.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug, Error)]
enum CertificateError {
    #[error("it contains no readable PEM certificate: {0}")]
    Pem(#[from] rustls_pki_types::pem::Error),
    #[error("its first certificate is not X.509: {0}")]
    X509(#[from] x509_cert::der::Error),
}

impl CertificateMetrics {
    pub fn new(r: &Registry, files: &[PathBuf]) -> prometheus::Result<Self> {
        let expiry = float_gauges(
            r,
            "onnward_certificate_expiry_timestamp_seconds",
            "Expiry of the first certificate of a file, in seconds since 1970 (UTC).",
            &["file"],
        )?;
        let known = files.iter().map(|file| (file.clone(), false)).collect();
        Ok(Self { expiry, files: Mutex::new(Files { known, read_at: None }) })
    }

    /// Reads the files again, unless they were read within the last minute.
    pub fn read(&self) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.read_at.is_some_and(|read_at| read_at.elapsed() < REFRESH_INTERVAL) {
            return;
        }
        files.read_at = Some(Instant::now());
        for (file, is_unreadable) in &mut files.known {
            let label = file.display().to_string();
            match expiry(file) {
                Ok(expiry) => {
                    self.expiry.with_label_values(&[&label]).set(expiry.as_secs_f64());
                    *is_unreadable = false;
                }
                Err(error) => {
                    // An error means that there was no such series.
                    let _ = self.expiry.remove_label_values(&[&label]);
                    if !std::mem::replace(is_unreadable, true) {
                        tracing::warn!(
                            path = label,
                            %error,
                            "the expiry of this certificate is unknown: see metrics.certificates"
                        );
                    }
                }
            }
        }
    }
}

/// Returns the expiry of the first certificate of a PEM file, since 1970 (UTC).
fn expiry(file: &Path) -> Result<Duration, CertificateError> {
    let der = CertificateDer::from_pem_file(file)?;
    let certificate = Certificate::from_der(&der)?;
    Ok(certificate.tbs_certificate().validity().not_after.to_unix_duration())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(r: &Registry) -> Vec<f64> {
        r.gather()
            .iter()
            .flat_map(|family| family.get_metric())
            .map(|metric| metric.get_gauge().get_value())
            .collect()
    }

    /// A self-signed certificate that ends at Oct 29 10:54:43 2126 GMT; nobody has its key.
    const CERTIFICATE: &str = include_str!("certificates/century.pem");

    #[test]
    fn a_certificates_end_is_shown_and_a_file_without_one_is_told_of_once() {
        let (log, _guard) = crate::logging::captured_log(crate::logging::LogFormat::Json);
        let folder = tempfile::TempDir::new().unwrap();
        let [good, bad] = ["good.pem", "bad.pem"].map(|name| folder.path().join(name));
        std::fs::write(&good, CERTIFICATE).unwrap();
        let r = Registry::new();
        let metrics = CertificateMetrics::new(&r, &[good.clone(), bad]).unwrap();
        for _ in 0..2 {
            metrics.read();
            assert_eq!(printed(&r), [4948944883.0]);
            metrics.files.lock().unwrap().read_at = None;
        }
        assert_eq!(log.text().lines().count(), 1, "{}", log.text());
        assert!(log.text().contains("bad.pem"));
        // Within a minute the file is not looked at.
        metrics.read();
        std::fs::write(&good, "not a certificate").unwrap();
        metrics.read();
        assert_eq!(printed(&r).len(), 1);
        metrics.files.lock().unwrap().read_at = None;
        metrics.read();
        assert!(printed(&r).is_empty() && log.text().contains("good.pem"));
    }
}
