//! Compiles the person detector for cargo's target and links it into the crate.

fn main() -> Result<(), mnc::Error> {
    mnc::build::Model::new("mobilenet-v1")
        .weights("../person-detector/person.safetensors")
        .resolution(96)
        .emit("PersonDetector")
}
