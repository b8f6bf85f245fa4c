//! Compiles the face detector for cargo's target, with the weights that FACES_WEIGHTS names.

fn main() -> Result<(), mnc::Error> {
    println!("cargo::rerun-if-env-changed=FACES_WEIGHTS");
    let weights = std::env::var("FACES_WEIGHTS").expect("FACES_WEIGHTS is the path of faces.safetensors");
    mnc::build::Model::new("../faces.toml").weights(weights).labels("../labels.txt").emit("Faces")
}
