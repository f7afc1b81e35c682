//! Errors: the code that is returned, and the words that are kept for whoever asks.

use core::cell::RefCell;
use core::ffi::{c_char, c_int};
use std::ffi::CString;

use rvrrpadm::{Code, Error};

use crate::types::vrrp_ret_t;

/// Why something was not done.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What is returned.
    pub(crate) code: vrrp_ret_t,
    /// What is wrong and what is allowed.
    pub(crate) message: String,
}

/// A parameter is wrong.
pub(crate) fn invalid(message: impl Into<String>) -> Failure {
    Failure {
        code: vrrp_ret_t::VRRP_EINVAL,
        message: message.into(),
    }
}

/// Something is not as it should be on this host.
pub(crate) fn system(message: impl Into<String>) -> Failure {
    Failure {
        code: vrrp_ret_t::VRRP_ESYS,
        message: message.into(),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error.code() {
            Code::Invalid => vrrp_ret_t::VRRP_EINVAL,
            Code::NameInvalid => vrrp_ret_t::VRRP_ENAMEINVAL,
            Code::BadState => vrrp_ret_t::VRRP_EBADSTATE,
            Code::RouterExists => vrrp_ret_t::VRRP_EVREXIST,
            Code::NameExists => vrrp_ret_t::VRRP_EINSTEXIST,
            Code::NoRoute => vrrp_ret_t::VRRP_ENOROUTE,
            Code::BadAddress => vrrp_ret_t::VRRP_EVRIP,
            Code::NotFound => vrrp_ret_t::VRRP_ENOINST,
            Code::NotPermitted => vrrp_ret_t::VRRP_ENOOPERM,
            Code::System => vrrp_ret_t::VRRP_ESYS,
        };
        Self {
            code,
            message: error.to_string(),
        }
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// What a function returns; the words of a failure are kept.
pub(crate) fn told(result: Result<(), Failure>) -> vrrp_ret_t {
    match result {
        Ok(()) => vrrp_ret_t::VRRP_SUCCESS,
        Err(failure) => {
            let mut bytes = failure.message.into_bytes();
            bytes.retain(|byte| *byte != 0);
            let message = CString::new(bytes).unwrap_or_default();
            // A thread that is ending keeps nothing.
            let _ending = LAST.try_with(|last| *last.borrow_mut() = message);
            failure.code
        }
    }
}

/// Says what a `vrrp_ret_t` means. The text is constant.
#[unsafe(no_mangle)]
pub extern "C" fn vrrp_strerror(err: c_int) -> *const c_char {
    let text = match err {
        0 => c"success",
        1 => c"invalid parameter",
        2 => c"invalid name of a virtual router",
        3 => c"virtual router in bad state",
        4 => c"the interface has a virtual router of this VRID and family",
        5 => c"there is a virtual router of this name",
        6 => c"the interface does not follow from the addresses",
        7 => c"invalid virtual address",
        8 => c"there is no such virtual router",
        9 => c"insufficient privilege",
        10 => c"system error",
        _ => c"unknown error",
    };
    text.as_ptr()
}

/// Says what was wrong with the last call of this thread that failed, and what is allowed. The text
/// stays until this thread calls another function. Sun had none.
#[unsafe(no_mangle)]
pub extern "C" fn vrrp_errmsg() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr())
        .unwrap_or(c"".as_ptr())
}

#[cfg(test)]
mod tests {
    use core::ffi::CStr;

    use super::*;

    fn text(pointer: *const c_char) -> &'static CStr {
        // SAFETY: the functions return texts with an end, which stay for long enough here.
        unsafe { CStr::from_ptr(pointer) }
    }

    #[test]
    fn every_code_has_its_words() {
        let mut known = std::collections::BTreeSet::new();
        for code in 0..=11 {
            assert!(known.insert(text(vrrp_strerror(code))), "{code}");
        }
        assert_eq!(text(vrrp_strerror(-1)), c"unknown error");
        assert_eq!(vrrp_ret_t::VRRP_ESYS as c_int, 10);
        assert_eq!(Code::System as c_int, 10);
    }

    #[test]
    fn the_words_of_the_last_failure_are_kept() {
        assert_eq!(told(Err(invalid("a\0b"))), vrrp_ret_t::VRRP_EINVAL);
        assert_eq!(text(vrrp_errmsg()), c"ab");
        assert_eq!(told(Ok(())), vrrp_ret_t::VRRP_SUCCESS);
        assert_eq!(text(vrrp_errmsg()), c"ab");
    }
}
