//! Prints the CustomResourceDefinitions as JSON lines.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

fn main() -> Result<(), serde_json::Error> {
    for crd in konductor_api::crds() {
        println!("{}", serde_json::to_string(&crd)?);
    }
    Ok(())
}
