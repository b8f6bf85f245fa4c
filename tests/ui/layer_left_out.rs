//! Weights with a tensor that is named as a layer's is: a warning, here denied.
#![deny(deprecated)]

mnc_macros::mobilenet! {
    struct Classifier { network: "mobilenet-v1", weights: "data/more.safetensors" }
}

fn main() {}
