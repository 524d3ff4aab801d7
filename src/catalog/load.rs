//! From a catalog folder to the nouns of the mesh: finds the files, reads each in its dialect, hands all to validation.
//!
//! It owns the layout of the folder (design, section 3) and refuses to know what a server does with it. Nothing here
//! fails: whatever cannot be used is left out and becomes a [`Problem`]; a policy that cannot be understood stays, and denies.

mod draft;
mod founding;
mod governance;
mod location;
mod mesh;
mod odcs;
mod odps;
mod policy;
mod principals;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use aws_lc_rs::digest;

use super::model::{Catalog, Defaults, Mesh, Policy, PolicyScope, Problem, ProblemSeverity};
use super::validate;
use super::yaml::{self, FILE_BYTES_MAX, Field, Findings, Mark, Node};

pub(super) use draft::{DomainDraft, Draft, Parsed, PolicyDraft, RelationshipDraft};
pub(super) use policy::Mention;

/// How many files a catalog folder may hold.
pub const FILES_MAX: usize = 100_000;

/// What a catalog folder holds: its valid part, and what is wrong with the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    pub catalog: Catalog,
    /// Ordered by file, line and column.
    pub problems: Vec<Problem>,
}

impl Loaded {
    /// Whether anything is worse than a warning.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == ProblemSeverity::Error)
    }
}

/// Loads and validates a catalog folder. Blocks on file I/O.
pub fn load(catalog_dir: &Path) -> Loaded {
    load_with_progress(catalog_dir, &mut |_| {})
}

/// The same; `progress` hears of every file before it is read, relative to the folder that holds the catalog.
pub fn load_with_progress(catalog_dir: &Path, progress: &mut dyn FnMut(&Path)) -> Loaded {
    let mut loader = Loader::new(catalog_dir, progress);
    loader.mesh();
    loader.principals();
    loader.policies();
    loader.domains();
    validate::validate(loader.parsed)
}

struct Loader<'p> {
    /// The catalog folder, absolute.
    root: PathBuf,
    /// The folder that holds it: relative locations start here.
    base: PathBuf,
    progress: &'p mut dyn FnMut(&Path),
    files: usize,
    parsed: Parsed,
}

/// A file that was read: its text as nodes where it is YAML, and its digest.
struct Source {
    findings: Findings,
    root: Option<Node>,
    sha256: String,
}

impl<'p> Loader<'p> {
    fn new(catalog_dir: &Path, progress: &'p mut dyn FnMut(&Path)) -> Self {
        let root = absolute(catalog_dir);
        let base = root.parent().unwrap_or(&root).to_path_buf();
        Self { root, base, progress, files: 0, parsed: Parsed::default() }
    }

    fn mesh(&mut self) {
        let path = self.root.join("mesh.yaml");
        let source = self.read(&path);
        if let Some(node) = &source.root {
            self.parsed.mesh = mesh::mesh(Field::root(node, &source.findings));
        }
        self.keep(source);
    }

    fn principals(&mut self) {
        let path = self.root.join("principals.yaml");
        let source = self.read(&path);
        if let Some(node) = &source.root {
            principals::principals(Field::root(node, &source.findings), &mut self.parsed);
        }
        self.keep(source);
    }

    fn policies(&mut self) {
        let folder = self.root.join("policies");
        let entries = match entries(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                self.complain(&folder, ProblemSeverity::Error, format!("this folder cannot be read: {error}"), None);
                let path = self.relative(&folder);
                return self.parsed.policies.push(PolicyDraft::broken("policies".to_owned(), PolicyScope::Mesh, path));
            }
        };
        for path in entries {
            let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
            match extension {
                "yaml" | "yml" | "json" => self.policy(&path),
                "md" | "txt" => {}
                _ => {
                    let suggestion = Some("name it *.yaml, or move it elsewhere".to_owned());
                    self.complain(&path, ProblemSeverity::Warning, "this is not read as a policy", suggestion);
                }
            }
        }
    }

    fn policy(&mut self, path: &Path) {
        let source = self.read(path);
        let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or("policy").to_owned();
        let draft = match &source.root {
            Some(node) => policy::policy(Field::root(node, &source.findings), &stem, PolicyScope::Mesh),
            None => PolicyDraft::broken(stem, PolicyScope::Mesh, source.findings.path().to_path_buf()),
        };
        self.parsed.policies.push(draft);
        self.keep(source);
    }

    fn domains(&mut self) {
        let root = self.root.clone();
        let entries = match entries(&root) {
            Ok(entries) => entries,
            Err(error) => {
                self.complain(&root, ProblemSeverity::Error, format!("this folder cannot be read: {error}"), None);
                return;
            }
        };
        for path in entries {
            let name = file_name(&path);
            if path.is_dir() {
                if name != "policies" {
                    self.domain(&path, name);
                }
            } else if is_yaml(name) && name != "mesh.yaml" && name != "principals.yaml" {
                self.complain(&path, ProblemSeverity::Warning, "no file of this name is read here", None);
            }
        }
    }

    fn domain(&mut self, folder: &Path, folder_name: &str) {
        let source = self.read(&folder.join("domain.yaml"));
        let draft = match &source.root {
            Some(node) => mesh::domain(Field::root(node, &source.findings), folder_name, &mut self.parsed.policies),
            None => DomainDraft::broken(folder_name, source.findings.place(Mark::FILE)),
        };
        self.keep(source);
        let children = entries(folder).unwrap_or_else(|error| {
            self.complain(folder, ProblemSeverity::Error, format!("this folder cannot be read: {error}"), None);
            Vec::new()
        });
        for child in children {
            if child.is_dir() {
                self.product_folder(&child, &draft);
            } else if is_yaml(file_name(&child)) && file_name(&child) != "domain.yaml" {
                let suggestion = Some("contracts lie in <domain>/<product>/".to_owned());
                self.complain(&child, ProblemSeverity::Warning, "no file of this name is read here", suggestion);
            }
        }
        self.parsed.domains.push(draft);
    }

    /// One folder holds one product as a rule: a founding contract, or an ODPS file with its ODCS contracts.
    fn product_folder(&mut self, folder: &Path, domain: &DomainDraft) {
        let children = entries(folder).unwrap_or_else(|error| {
            self.complain(folder, ProblemSeverity::Error, format!("this folder cannot be read: {error}"), None);
            Vec::new()
        });
        let mut founding = Vec::new();
        let mut products = Vec::new();
        let mut contracts = Vec::new();
        let mut found = false;
        for path in children.iter().filter(|path| !path.is_dir()) {
            if !is_contract(file_name(path)) {
                if is_yaml(file_name(path)) {
                    let suggestion = Some("name it data_product.yaml, *.odps.yaml or *.odcs.yaml".to_owned());
                    self.complain(path, ProblemSeverity::Warning, "this is not read as a contract", suggestion);
                }
                continue;
            }
            found = true;
            let source = self.read(path);
            let context = draft::Context {
                defaults: self.parsed.mesh.as_ref().map_or_else(Defaults::default, |mesh| mesh.defaults.clone()),
                base: &self.base,
                domain: &domain.domain,
                sha256: &source.sha256,
            };
            match source.root.as_ref().and_then(|node| draft::dialect(Field::root(node, &source.findings))) {
                Some((draft::Kind::Founding, map)) => founding.extend(founding::product(&map, &context)),
                Some((draft::Kind::Odps, map)) => products.extend(odps::product(&map, &context)),
                Some((draft::Kind::Odcs, map)) => contracts.extend(odcs::contract(&map, &context)),
                None => {}
            }
            self.keep(source);
        }
        if !found {
            let suggestion = Some("write data_product.yaml, *.odps.yaml or *.odcs.yaml".to_owned());
            self.complain(folder, ProblemSeverity::Warning, "this folder holds no contract", suggestion);
        }
        self.parsed.products.extend(founding);
        let merged = odps::with_contracts(products, contracts, &mut self.parsed.problems);
        self.parsed.policies.extend(merged.iter().filter_map(odcs::role_policy));
        self.parsed.products.extend(merged);
    }

    /// Reads one file. Whatever goes wrong is in the source's findings, and its root is absent.
    fn read(&mut self, path: &Path) -> Source {
        let relative = self.relative(path);
        (self.progress)(&relative);
        let findings = Findings::new(&relative);
        self.files += 1;
        let (root, sha256) = match self.bytes(path) {
            Ok(bytes) => {
                let sha256 = hexadecimal(digest::digest(&digest::SHA256, &bytes).as_ref());
                match std::str::from_utf8(&bytes) {
                    Ok(text) => (yaml::parse(text, &findings), sha256),
                    Err(error) => {
                        let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
                        findings.error(Mark { line, column: 0 }, "the file is not UTF-8 text");
                        (None, sha256)
                    }
                }
            }
            Err(message) => {
                findings.error(Mark::FILE, message);
                (None, String::new())
            }
        };
        Source { findings, root, sha256 }
    }

    fn bytes(&self, path: &Path) -> Result<Vec<u8>, String> {
        use io::Read as _;
        if self.files > FILES_MAX {
            return Err(format!("the catalog folder holds more than {FILES_MAX} files"));
        }
        let describe = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => "the file is missing".to_owned(),
            _ => format!("the file cannot be read: {error}"),
        };
        // opening a pipe or a device could block for ever
        if !fs::metadata(path).map_err(describe)?.is_file() {
            return Err("this is no regular file".to_owned());
        }
        let mut bytes = Vec::new();
        fs::File::open(path).map_err(describe)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(describe)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(format!("the file is larger than {FILE_BYTES_MAX} bytes"));
        }
        Ok(bytes)
    }

    fn keep(&mut self, source: Source) {
        self.parsed.problems.extend(source.findings.into_problems());
    }

    fn complain(
        &mut self,
        path: &Path,
        severity: ProblemSeverity,
        message: impl Into<String>,
        suggestion: Option<String>,
    ) {
        let path = self.relative(path);
        self.parsed.problems.push(Problem { severity, path, line: 0, column: 0, message: message.into(), suggestion });
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.base).unwrap_or(path).to_path_buf()
    }
}

/// Absolute, with `.` and `..` resolved by name; symbolic links stay, so that messages name what the operator wrote.
fn absolute(path: &Path) -> PathBuf {
    normalize(&std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()))
}

fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => normal.push(component),
        }
    }
    normal
}

/// The visible entries of a folder, by name, so that every load sees them in one order.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = file_name(&path);
        if !name.starts_with('.') && !name.ends_with('~') {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or_default()
}

fn is_yaml(name: &str) -> bool {
    matches!(Path::new(name).extension().and_then(OsStr::to_str), Some("yaml" | "yml" | "json"))
}

fn is_contract(name: &str) -> bool {
    let Some((stem, "yaml" | "yml" | "json")) = name.rsplit_once('.') else { return false };
    // `.odps.yaml` itself is hidden, so a bare extension never comes here
    stem == "data_product" || matches!(Path::new(stem).extension().and_then(OsStr::to_str), Some("odps" | "odcs"))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // writing to a String cannot fail
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The mesh that is served where `mesh.yaml` cannot be.
fn default_mesh() -> Mesh {
    Mesh { name: "mesh".to_owned(), description: None, defaults: Defaults::default() }
}

impl PolicyDraft {
    /// A policy that could not be understood: it denies all that is in its scope.
    fn broken(name: String, scope: PolicyScope, path: PathBuf) -> Self {
        Self { policy: Policy { name, description: None, scope, rules: None, path }, mentions: Vec::new() }
    }
}

#[cfg(test)]
mod tests;
