//! How this program asks servers, whatever it asks them for: what the client of the Hub and the collectors of pages have in common.
//!
//! An error of the server's is an answer, a redirection is followed by whoever asked, and bytes come as they are.

use std::path::Path;

use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::AgentScope;

use crate::error::HubError;

/// How this program calls itself where nobody says otherwise.
pub const USER_AGENT: &str = concat!("luthier/", env!("CARGO_PKG_VERSION"));

/// What every agent of this program has; those who need it add their time limits. `certificates` are trusted in place of Mozilla's,
/// which are built in ([`crate::Settings::certificates`]).
///
/// # Errors
/// [`HubError::Setting`] when there are no certificates in that file.
pub fn agent(user_agent: &str, certificates: Option<&Path>) -> Result<ConfigBuilder<AgentScope>, HubError> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(user_agent)
        // Lengths, offsets and hashes are those of the bytes themselves.
        .accept_encoding("identity");
    Ok(match certificates {
        Some(path) => config.tls_config(trusting(path)?),
        None => config,
    })
}

fn trusting(path: &Path) -> Result<TlsConfig, HubError> {
    let wrong = |why: String| HubError::Setting { name: "SSL_CERT_FILE", why: format!("{}, {why}", path.display()) };
    let pem = std::fs::read(path).map_err(|error| wrong(format!("which cannot be read: {error}")))?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(wrong("which holds no certificate in PEM".to_owned()));
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::from(certificates)).build())
}
