//! What the standard library asks of an unwinder. The launcher aborts on a panic, so nobody unwinds, and a backtrace
//! has no frames: this also leaves out whatever would read debug information, some 250 kB.

#![allow(non_snake_case, reason = "the names are those of the Itanium C++ ABI")]

use core::ffi::{c_int, c_void};

use super::system::abort;

/// `_URC_END_OF_STACK`.
const END_OF_STACK: c_int = 5;

#[cfg_attr(mnc_bare, unsafe(no_mangle))]
extern "C" fn _Unwind_Backtrace(_: *const c_void, _: *mut c_void) -> c_int {
    END_OF_STACK
}

/// Functions that only a frame of a backtrace or of an unwinding could call.
macro_rules! never_called {
    ($($name:ident)*) => {
        $(#[cfg_attr(mnc_bare, unsafe(no_mangle))]
        extern "C" fn $name() -> ! {
            abort()
        })*
    };
}

never_called! {
    _Unwind_DeleteException
    _Unwind_GetDataRelBase
    _Unwind_GetIP
    _Unwind_GetIPInfo
    _Unwind_GetLanguageSpecificData
    _Unwind_GetRegionStart
    _Unwind_GetTextRelBase
    _Unwind_RaiseException
    _Unwind_Resume
    _Unwind_SetGR
    _Unwind_SetIP
}
