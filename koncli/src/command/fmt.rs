//! `koncli fmt`

use std::path::{Path, PathBuf};

use konductor_dsl::{Sources, source_name};

use crate::exit::{FAILED, Failure, USAGE};
use crate::replace::replace;
use crate::{diagnostics, load, output};

/// Lays files out in the one style there is; with `check`, only says which are not. `-` is standard
/// input, whose layout goes to standard output.
pub(crate) fn fmt(files: &[PathBuf], check: bool) -> Result<(), Failure> {
    let (mut other, mut broken) = (0, false);
    for file in files {
        let mut sources = Sources::default();
        let text = load::read(file)?;
        let id = sources.add(source_name(file), text.clone());
        let Some(source) = sources.get(id) else {
            continue;
        };
        match konductor_dsl::format(source) {
            Err(errors) => {
                diagnostics::print_all(&sources, &errors);
                broken = true;
            }
            Ok(formatted) if file == Path::new("-") && !check => output::stdout_exact(&formatted),
            Ok(formatted) if formatted == text => {}
            Ok(_) if check => {
                output::stdout(&format!("{}\n", file.display()));
                other += 1;
            }
            Ok(formatted) => {
                replace(file, &formatted)?;
                output::stderr(&format!("formatted {}", file.display()));
            }
        }
    }
    if broken {
        return Err(Failure::silent(USAGE));
    }
    if other > 0 {
        let files = if other == 1 { "file is" } else { "files are" };
        return Err(
            Failure::new(FAILED, format!("{other} {files} laid out differently"))
                .help("`koncli fmt` without --check lays them out"),
        );
    }
    Ok(())
}
