//! Builds what the command embeds. Without the feature `cli` it does nothing and depends on nothing: whoever uses the macro
//! builds this too.

#[cfg(feature = "cli")]
#[path = "build/launcher.rs"]
mod launcher;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    #[cfg(feature = "cli")]
    launcher::embed();
}
