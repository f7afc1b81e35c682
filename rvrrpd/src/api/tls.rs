//! Certificates: TLS 1.2 and 1.3 by rustls with the cryptography of ring.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Largest file that is read.
const LARGEST: u64 = 1 << 20;
/// Mode bits that let others than the owner read.
const READABLE: u32 = 0o044;
/// Certificates of a chain at the most.
const LONGEST_CHAIN: usize = 16;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// A file is not what it has to be.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Key and certificate do not go together, or are of a kind that cannot be used.
    #[error("tls_key and tls_cert: {0}")]
    Pair(#[from] rustls::Error),
}

/// What a server needs, with the certificate and all that follow it in its file.
///
/// # Errors
/// A file cannot be read, holds something else, or both do not go together.
pub(super) fn load(key: &Path, chain: &Path) -> Result<Arc<ServerConfig>, Error> {
    let certificates = certificates(chain)?;
    let key = private_key(key)?;
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let refused = |reason: String| Error::File {
        path: path.to_owned(),
        reason,
    };
    let text = read(path).map_err(|error| refused(error.to_string()))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .take(LONGEST_CHAIN + 1)
        .collect::<Result<_, _>>()
        .map_err(|error| refused(error.to_string()))?;
    match certificates.len() {
        0 => Err(refused("holds no certificate in PEM form".to_owned())),
        1..=LONGEST_CHAIN => Ok(certificates),
        _ => Err(refused(format!(
            "holds too many certificates, allowed: {LONGEST_CHAIN}"
        ))),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let refused = |reason: String| Error::File {
        path: path.to_owned(),
        reason,
    };
    let text = read(path).map_err(|error| refused(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|error| refused(format!("no private key in PEM form: {error}")))?;
    let mode = fs::metadata(path).map_or(0, |file| file.permissions().mode());
    if mode & READABLE != 0 {
        tracing::warn!(
            "{}: the private key of the Client API can be read by others than its owner (mode \
             {:04o}); allowed: mode 0600",
            path.display(),
            mode & 0o7777,
        );
    }
    Ok(key)
}

fn read(path: &Path) -> io::Result<zeroize::Zeroizing<Vec<u8>>> {
    use std::io::Read as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    // Without O_NONBLOCK the opening of a FIFO would wait for its writer.
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        let reason = format!("allowed: a regular file of at most {LARGEST} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    // Room for all of it at once: a vector that grows leaves copies behind.
    let room = usize::try_from(metadata.len()).unwrap_or(0) + 1;
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(room));
    file.take(LARGEST).read_to_end(&mut text)?;
    Ok(text)
}
