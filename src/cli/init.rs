//! `pgmesh init DIR`: a new mesh from a blueprint. What a mesh looks like is the catalog's business.

use std::io::Write;
use std::path::Path;

use super::{Ended, Failure, Outcome};
use crate::catalog;

pub(super) fn run(dir: &Path, out: &mut dyn Write) -> Ended {
    catalog::init::init(dir).map_err(Failure::said)?;
    let shown = dir.display();
    writeln!(out, "made a mesh in {shown}")?;
    writeln!(out, "next: cd {shown} && pgmesh user add NAME && pgmesh validate && pgmesh")?;
    Ok(Outcome::Done)
}
