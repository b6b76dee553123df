//! Compiles our own API with protox (no protoc needed) and keeps the descriptors for server reflection.

use prost::Message as _;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PROTO: &str = "burngate/v1/budget.proto";
    println!("cargo:rerun-if-changed=proto/{PROTO}");
    println!("cargo:rerun-if-changed=proto/build.rs");
    let descriptors = protox::compile([PROTO], ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("burngate.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().build_client(true).build_server(true).compile_fds(descriptors)?;
    Ok(())
}
