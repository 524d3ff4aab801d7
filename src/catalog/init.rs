//! A new mesh from a blueprint: the smallest catalog that loads, with comments that say what to write next.

use std::fs;
use std::io;
use std::path::Path;

/// The blueprint's files, relative to `catalog/`.
const FILES: [(&str, &str); 6] = [
    ("mesh.yaml", include_str!("init/mesh.yaml")),
    ("principals.yaml", include_str!("init/principals.yaml")),
    ("policies/README.md", include_str!("init/policies.md")),
    ("policies/open-products.yaml", include_str!("init/open-products.yaml")),
    ("sales/domain.yaml", include_str!("init/domain.yaml")),
    ("sales/orders/data_product.yaml", include_str!("init/data_product.yaml")),
];

/// Writes a blueprint mesh to `dir/catalog`. Fails with [`io::ErrorKind::AlreadyExists`] where that folder holds anything,
/// and then writes nothing.
pub fn init(dir: &Path) -> io::Result<()> {
    let root = dir.join("catalog");
    fs::create_dir_all(&root)?;
    if fs::read_dir(&root)?.next().is_some() {
        let message = format!("{} is not empty", root.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    for (name, text) in FILES {
        let path = root.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::load::load;

    #[test]
    fn the_blueprint_loads_without_a_word() {
        let dir = tempfile::tempdir().unwrap();
        init(dir.path()).unwrap();
        let loaded = load(&dir.path().join("catalog"));
        assert_eq!(loaded.problems, []);
        assert_eq!(loaded.catalog.products.len(), 1);
        assert_eq!(loaded.catalog.policies.len(), 1);
        assert!(loaded.catalog.users.is_empty());
    }

    #[test]
    fn a_folder_in_use_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        init(dir.path()).unwrap();
        fs::write(dir.path().join("catalog/mesh.yaml"), "mine").unwrap();
        assert_eq!(init(dir.path()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(dir.path().join("catalog/mesh.yaml")).unwrap(), "mine");
    }
}
