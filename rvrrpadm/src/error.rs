//! Why something could not be done.

use std::io;

/// Kinds of errors: those of libvrrp, in its order, so that a C interface can hand them on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u32)]
pub enum Code {
    /// `VRRP_EINVAL`: a value is wrong.
    Invalid = 1,
    /// `VRRP_ENAMEINVAL`: this cannot be the name of a virtual router.
    NameInvalid = 2,
    /// `VRRP_EBADSTATE`: not in the state that it is in now.
    BadState = 3,
    /// `VRRP_EVREXIST`: the interface has a virtual router of this group and family.
    RouterExists = 4,
    /// `VRRP_EINSTEXIST`: there is a virtual router of this name.
    NameExists = 5,
    /// `VRRP_ENOROUTE`: the interface does not follow from the addresses.
    NoRoute = 6,
    /// `VRRP_EVRIP`: a virtual address is wrong.
    BadAddress = 7,
    /// `VRRP_ENOINST`: there is no such virtual router.
    NotFound = 8,
    /// `VRRP_ENOOPERM`: not permitted.
    NotPermitted = 9,
    /// `VRRP_ESYS`: something else failed: the daemon does not run, the network, the disk.
    System = 10,
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The daemon refused.
    #[error("{message}")]
    Refused {
        /// What kind of error it is.
        code: Code,
        /// HTTP status.
        status: u16,
        /// What is wrong and what is allowed; several lines when several things are.
        message: String,
    },
    /// The daemon could not be asked.
    #[error("{daemon}: {source}")]
    Unreachable {
        /// The socket or URL.
        daemon: String,
        /// Why not.
        source: io::Error,
    },
    /// The answer is not one of rVRRPd.
    #[error("{daemon}: {message}")]
    Answer {
        /// The socket or URL.
        daemon: String,
        /// What is wrong with it.
        message: String,
    },
    /// What was asked for cannot be asked for.
    #[error("{message}")]
    Request {
        /// What kind of error it is.
        code: Code,
        /// What is wrong and what is allowed.
        message: String,
    },
}

impl Error {
    /// The kind of the error.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Refused { code, .. } | Self::Request { code, .. } => *code,
            Self::Unreachable { .. } | Self::Answer { .. } => Code::System,
        }
    }
}

/// The kind of a refusal: the status tells most, the key that a conflict is about the rest.
pub(crate) fn code_of(status: u16, message: &str) -> Code {
    let about = |key: &str| message.starts_with(&format!("{key}: "));
    match status {
        401 | 403 => Code::NotPermitted,
        404 => Code::NotFound,
        409 if about("group") => Code::RouterExists,
        409 if about("name") => Code::NameExists,
        409 if about("vip") => Code::BadAddress,
        409 => Code::BadState,
        400 | 422 if about("name") => Code::NameInvalid,
        400 | 422 if about("vip") => Code::BadAddress,
        400 | 422 => Code::Invalid,
        _ => Code::System,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_libvrrp() {
        assert_eq!(Code::Invalid as u32, 1);
        assert_eq!(Code::System as u32, 10);
        for (status, message, code) in [
            (409, "group: group 1 of eth0 is taken", Code::RouterExists),
            (409, "name: a is taken", Code::NameExists),
            (409, "the file was changed", Code::BadState),
            (422, "vip: 1.2.3 is no address", Code::BadAddress),
            (403, "", Code::NotPermitted),
            (500, "", Code::System),
        ] {
            assert_eq!(code_of(status, message), code, "{status} {message}");
        }
    }
}
