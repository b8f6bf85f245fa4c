//! The functions of `libm` that Rust's floats and the decoders call, from the crate of that name.

/// Gives functions of one or two numbers their C names.
macro_rules! functions {
    ($($name:ident($($x:ident),+))*) => {
        $(#[cfg_attr(mnc_bare, unsafe(no_mangle))]
        extern "C" fn $name($($x: f64),+) -> f64 {
            libm::$name($($x),+)
        })*
    };
}

functions! {
    atan(x)
    atan2(y, x)
    cbrt(x)
    cos(x)
    exp(x)
    exp2(x)
    fmod(x, y)
    hypot(x, y)
    log(x)
    log10(x)
    log2(x)
    pow(x, y)
    sin(x)
    tan(x)
}

/// As [`functions!`], in single precision.
macro_rules! single_functions {
    ($($name:ident($($x:ident),+))*) => {
        $(#[cfg_attr(mnc_bare, unsafe(no_mangle))]
        extern "C" fn $name($($x: f32),+) -> f32 {
            libm::$name($($x),+)
        })*
    };
}

single_functions! {
    cosf(x)
    expf(x)
    exp2f(x)
    logf(x)
    log2f(x)
    powf(x, y)
    sinf(x)
}

/// # Safety
///
/// Both pointers may be written.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn sincos(x: f64, sin: *mut f64, cos: *mut f64) {
    let (s, c) = libm::sincos(x);
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        *sin = s;
        *cos = c;
    }
}
