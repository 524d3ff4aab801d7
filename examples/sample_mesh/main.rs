//! Writes the sample mesh's tables to `sample_data/`: `cargo run --example sample_mesh`.
//!
//! Every byte follows from the seed in `story.rs` and the dates written here and there: no clock, no system
//! randomness, so a second run changes nothing. The contracts in `catalog/` are not touched.
//! The log is written by hand too, because the library's writer makes neither deletion vectors nor column mapping,
//! and puts random names and the time of day into what it writes.

use std::error::Error;
use std::path::Path;

mod arrays;
mod customer_success;
mod deletion_vector;
mod finance;
mod marketing;
mod product;
mod random;
mod sales;
mod stats;
mod story;
mod table;

/// What a step of the generator may fail with: an I/O, Arrow or Parquet error.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    generate(&Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_data"))
}

/// Replaces the five domains' folders under `root`; anything else there stays.
pub fn generate(root: &Path) -> Outcome<()> {
    let story = story::Story::tell();
    for domain in ["sales", "marketing", "product", "finance", "customer-success"] {
        let folder = root.join(domain);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
    }
    sales::write(root, &story)?;
    marketing::write(root, &story)?;
    product::write(root, &story)?;
    finance::write(root, &story)?;
    customer_success::write(root, &story)
}
