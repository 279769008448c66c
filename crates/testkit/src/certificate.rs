//! Certificates for TLS tests.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// A certificate authority that exists for one test, and nobody trusts unless told to.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority with a fresh key.
    pub fn new() -> anyhow::Result<Self> {
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters.distinguished_name.push(DnType::CommonName, "Plimsoll test authority");
        Ok(Self { issuer: CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)? })
    }

    /// The authority's own certificate, what a client has to trust.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate for `names` (host names or addresses); returns certificate and key as PEM.
    pub fn issue(&self, names: &[&str]) -> anyhow::Result<(String, String)> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(names)?.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// Issues a certificate and writes `cert.pem`, `key.pem` and `ca.pem` into `folder`.
    pub fn issue_into(&self, folder: &Path, names: &[&str]) -> anyhow::Result<()> {
        let (certificate, key) = self.issue(names)?;
        std::fs::write(folder.join("cert.pem"), certificate)?;
        std::fs::write(folder.join("key.pem"), key)?;
        std::fs::write(folder.join("ca.pem"), self.pem())?;
        Ok(())
    }
}
