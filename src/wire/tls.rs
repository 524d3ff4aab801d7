//! The server's TLS identity: certificate chain, key, and the hash that SCRAM binds to.
//!
//! It reads two PEM files and knows nothing of connections. TLS 1.2 and 1.3, ALPN `postgresql` (PostgreSQL
//! documentation, "SSL Session Encryption"; direct TLS requires it), channel binding by RFC 5929 section 4.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_certificate::X509Certificate;

/// The protocol name that clients offer with direct TLS (IANA, "TLS ALPN Protocol IDs").
pub const ALPN_POSTGRESQL: &[u8] = b"postgresql";

/// What the server shows to clients that ask for encryption.
#[derive(Clone, Debug)]
pub struct TlsIdentity {
    pub config: Arc<ServerConfig>,
    /// `tls-server-end-point` of RFC 5929. `None` where the RFC defines none (Ed25519 certificates): no client can
    /// bind to such a certificate, so SCRAM-SHA-256-PLUS must not be offered.
    pub endpoint_hash: Option<Vec<u8>>,
}

/// Why TLS cannot start, with the file that is at fault.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {what} {}: {cause}", .path.display())]
    Unreadable { what: &'static str, path: PathBuf, cause: String },
    #[error("{} holds no certificate: PEM with BEGIN CERTIFICATE is expected", .0.display())]
    NoCertificate(PathBuf),
    #[error("the certificate in {} cannot be used: {cause}", .path.display())]
    BadCertificate { path: PathBuf, cause: String },
    #[error(
        "{} holds no private key: PEM with BEGIN PRIVATE KEY, BEGIN EC PRIVATE KEY or BEGIN RSA PRIVATE KEY is expected",
        .0.display()
    )]
    NoKey(PathBuf),
    #[error("the private key in {} is encrypted: decrypt it first, for example with openssl pkey", .0.display())]
    EncryptedKey(PathBuf),
    #[error("the private key in {} cannot be used: {cause}", .path.display())]
    BadKey { path: PathBuf, cause: String },
    #[error(
        "the private key in {} does not belong to the certificate in {}: the server's own certificate comes first in its \
         file, before those of the authorities",
        .key.display(), .certificate.display()
    )]
    KeyMismatch { certificate: PathBuf, key: PathBuf },
    #[error("TLS cannot be set up: {0}")]
    Protocol(String),
}

/// Reads a certificate chain (the server's own first) and its key.
///
/// # Errors
/// [`TlsError`], which names the file and what to do.
pub fn server_config(certificate_pem: &Path, key_pem: &Path) -> Result<TlsIdentity, TlsError> {
    let chain = read_certificates(certificate_pem)?;
    let bad_certificate =
        |cause: String| TlsError::BadCertificate { path: certificate_pem.to_owned(), cause: cause.to_lowercase() };
    let Some(leaf) = chain.first() else { return Err(TlsError::NoCertificate(certificate_pem.to_owned())) };
    let certificate = X509Certificate::from_der(leaf).map_err(|e| bad_certificate(e.to_string()))?;
    let endpoint_hash = endpoint_hash(&certificate, leaf);
    if !certificate.time_constraints_valid(None) {
        tracing::warn!(
            certificate = %certificate_pem.display(),
            not_before = %certificate.validity_not_before(),
            not_after = %certificate.validity_not_after(),
            "the TLS certificate is not valid today; clients that verify it will refuse to connect"
        );
    }

    let provider = Arc::new(default_provider());
    let signing_key = provider
        .key_provider
        .load_private_key(read_key(key_pem)?)
        .map_err(|e| TlsError::BadKey { path: key_pem.to_owned(), cause: e.to_string() })?;
    let certified = rustls::sign::CertifiedKey::new(chain, signing_key);
    match certified.keys_match() {
        // A key whose public half cannot be told is left to the first handshake.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            return Err(TlsError::KeyMismatch { certificate: certificate_pem.to_owned(), key: key_pem.to_owned() });
        }
        Err(e) => return Err(bad_certificate(e.to_string())),
    }
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|e| TlsError::Protocol(e.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ALPN_POSTGRESQL.to_vec()];
    Ok(TlsIdentity { config: Arc::new(config), endpoint_hash })
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = std::fs::read(path).map_err(|e| TlsError::Unreadable {
        what: "the certificate",
        path: path.to_owned(),
        cause: e.to_string(),
    })?;
    CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| TlsError::BadCertificate { path: path.to_owned(), cause: e.to_string() })
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = std::fs::read(path).map_err(|e| TlsError::Unreadable {
        what: "the private key",
        path: path.to_owned(),
        cause: e.to_string(),
    })?;
    warn_if_others_may_read(path);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|e| match e {
        rustls::pki_types::pem::Error::NoItemsFound => {
            let encrypted = String::from_utf8_lossy(&pem).contains("BEGIN ENCRYPTED PRIVATE KEY");
            if encrypted { TlsError::EncryptedKey(path.to_owned()) } else { TlsError::NoKey(path.to_owned()) }
        }
        other => TlsError::BadKey { path: path.to_owned(), cause: other.to_string() },
    })
}

#[cfg(unix)]
fn warn_if_others_may_read(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0) {
        tracing::warn!(key = %path.display(), "every user of this machine may read the TLS private key; chmod 600 it");
    }
}

#[cfg(not(unix))]
fn warn_if_others_may_read(_path: &Path) {}

/// The certificate's hash, by the hash function of its signature; MD5 and SHA-1 give way to SHA-256 (RFC 5929
/// section 4.1, and `be_tls_get_certificate_hash`).
fn endpoint_hash(certificate: &X509Certificate, der: &[u8]) -> Option<Vec<u8>> {
    let algorithm = certificate.signature_signature_algorithm_oid().as_ref();
    let hash = if algorithm == RSA_PSS {
        let inner: &x509_certificate::rfc5280::Certificate = certificate.as_ref();
        let parameters = inner.signature_algorithm.parameters.as_ref();
        pss_hash(parameters.map(|parameters| parameters.as_slice()).unwrap_or_default())?
    } else {
        SIGNATURES.iter().find(|(oid, _)| *oid == algorithm)?.1
    };
    Some(digest::digest(hash, der).as_ref().to_vec())
}

type Hash = &'static digest::Algorithm;

/// Content octets of the signature algorithms' object identifiers, and the hash to use (RFC 8017 appendix A.2.4,
/// RFC 5758 section 3).
const SIGNATURES: &[(&[u8], Hash)] = &[
    // md5WithRSAEncryption, sha1WithRSAEncryption, ecdsa-with-SHA1
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4], &digest::SHA256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5], &digest::SHA256),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1], &digest::SHA256),
    // sha224, sha256, sha384, sha512WithRSAEncryption
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 14], &digest::SHA224),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11], &digest::SHA256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12], &digest::SHA384),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13], &digest::SHA512),
    // ecdsa-with-SHA224, -SHA256, -SHA384, -SHA512
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 1], &digest::SHA224),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], &digest::SHA256),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3], &digest::SHA384),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4], &digest::SHA512),
];

/// id-RSASSA-PSS, whose hash function stands in its parameters.
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];

/// `RSASSA-PSS-params ::= SEQUENCE { [0] hashAlgorithm DEFAULT sha1, … }` (RFC 8017 appendix A.2.3). All lengths are
/// below 128, so each takes one byte.
fn pss_hash(parameters: &[u8]) -> Option<Hash> {
    let [0x30, _, fields @ ..] = parameters else { return None };
    let [0xa0, _, 0x30, _, 0x06, length, oid @ ..] = fields else { return Some(&digest::SHA256) };
    match oid.get(..usize::from(*length))? {
        // SHA-1
        [0x2b, 0x0e, 3, 2, 0x1a] | [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1] => Some(&digest::SHA256),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2] => Some(&digest::SHA384),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3] => Some(&digest::SHA512),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 4] => Some(&digest::SHA224),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    /// Signed with RSA-PSS and SHA-512, which rcgen cannot make. The hash is openssl's and sha512sum's.
    const PSS_CERTIFICATE: &str = include_str!("tls_pss_test.pem");
    const PSS_HASH: &str = "d58b81054cdab3d373c82ac6b9cdff14cf266dd0cf10045855e4ab49f8a6583b\
         fa2c1546d67c2b79d35bc29096df3df7b6538f5cffdd090ea6fe11dc1db99ffe";

    struct Files {
        folder: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().expect("a folder") }
        }

        fn write(&self, name: &str, content: &str) -> PathBuf {
            let path = self.folder.path().join(name);
            std::fs::write(&path, content).expect("written");
            path
        }
    }

    fn key(algorithm: &'static rcgen::SignatureAlgorithm) -> KeyPair {
        KeyPair::generate_for(algorithm).expect("a key")
    }

    fn certificate(key: &KeyPair) -> rcgen::Certificate {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        params.self_signed(key).expect("a certificate")
    }

    #[test]
    fn the_hash_follows_the_signature() {
        let files = Files::new();
        for (algorithm, hash) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Some(&digest::SHA256)),
            (&rcgen::PKCS_ECDSA_P384_SHA384, Some(&digest::SHA384)),
            (&rcgen::PKCS_ED25519, None),
        ] {
            let key = key(algorithm);
            let certificate = certificate(&key);
            let cert_path = files.write("cert.pem", &certificate.pem());
            let key_path = files.write("key.pem", &key.serialize_pem());
            let identity = server_config(&cert_path, &key_path).expect("an identity");
            assert_eq!(identity.config.alpn_protocols, [b"postgresql".to_vec()]);
            let expected = hash.map(|hash| digest::digest(hash, certificate.der()).as_ref().to_vec());
            assert_eq!(identity.endpoint_hash, expected);
        }
    }

    #[test]
    fn rsa_pss_names_its_hash_in_its_parameters() {
        let der = CertificateDer::from_pem_slice(PSS_CERTIFICATE.as_bytes()).expect("PEM");
        let certificate = X509Certificate::from_der(&der).expect("a certificate");
        let hash = endpoint_hash(&certificate, &der).expect("a hash");
        let text = format!("{hash:02x?}").replace(['[', ']', ',', ' '], "");
        assert_eq!(text, PSS_HASH);
    }

    #[test]
    fn pss_parameters_by_default_and_broken() {
        assert_eq!(pss_hash(&[0x30, 0]).map(digest::Algorithm::output_len), Some(32));
        assert!(pss_hash(&[]).is_none());
        assert!(pss_hash(&[0x30, 6, 0xa0, 4, 0x30, 2, 6, 200]).is_none());
        assert!(pss_hash(&[0x30, 7, 0xa0, 5, 0x30, 3, 6, 1, 1]).is_none());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let files = Files::new();
        let (one, two) = (key(&rcgen::PKCS_ECDSA_P256_SHA256), key(&rcgen::PKCS_ECDSA_P256_SHA256));
        let cert = files.write("cert.pem", &certificate(&one).pem());
        let good_key = files.write("key.pem", &one.serialize_pem());
        let other_key = files.write("other.pem", &two.serialize_pem());
        let text = files.write("text.pem", "hello");
        let broken = files.write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let encrypted = files.write(
            "encrypted.pem",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        );
        let bad_key = files.write("bad.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        let missing = files.folder.path().join("missing.pem");
        for (cert, key, expected) in [
            (&missing, &good_key, "cannot read the certificate"),
            (&cert, &missing, "cannot read the private key"),
            (&text, &good_key, "holds no certificate"),
            (&good_key, &good_key, "holds no certificate"),
            (&broken, &good_key, "the certificate in"),
            (&cert, &text, "holds no private key"),
            (&cert, &cert, "holds no private key"),
            (&cert, &encrypted, "is encrypted"),
            (&cert, &bad_key, "the private key in"),
            (&cert, &other_key, "does not belong to the certificate"),
        ] {
            let message = server_config(cert, key).expect_err("a refusal").to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
