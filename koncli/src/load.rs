//! Reading a pipeline file, what it imports, and its parameters.

use std::fmt;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use konductor_compiler::{
    Compiled, LOCAL_STORE, Options, Repaired, check, compile, placed, repair,
};
use konductor_dsl::limits::FILE_BYTES_MAX;
use konductor_dsl::{Sources, source_name};
use serde_json::{Map, Value};

use crate::arguments::{Params, Pipeline};
use crate::diagnostics;
use crate::exit::{Failure, NOT_FOUND, USAGE};
use crate::platform;

/// What a pipeline is compiled for.
#[derive(Clone, Debug)]
pub(crate) enum Aim {
    /// What `koncli apply` creates: a run, or the schedule if the file has one and no run is named.
    Apply,
    /// One run on this machine, where no store is needed, although there may be a schedule.
    Here,
    /// The run of a slot.
    Slot(Timestamp),
    /// A run by that name, as if it was that time.
    At(String, Timestamp),
}

/// Compiles the pipeline; diagnostics are printed on stderr, and errors among them end the command.
pub(crate) fn compiled(
    pipeline: &Pipeline,
    namespace: Option<String>,
    aim: Aim,
) -> Result<Compiled, Failure> {
    let sources = sources(&pipeline.file)?;
    let reader = Imports::of(&pipeline.file);
    let read = |path: &str| reader.read(path);
    let mut options = options(&pipeline.params, &read)?;
    options.run = pipeline.run.clone();
    options.namespace = namespace;
    if let Some(image) = &pipeline.koncli_image {
        options.koncli_image.clone_from(image);
    }
    options.store.clone_from(&pipeline.store);
    match aim {
        Aim::Apply => {}
        Aim::Here => {
            options.once = true;
            options.store.get_or_insert_with(|| LOCAL_STORE.to_owned());
        }
        Aim::Slot(time) => {
            options.slot = true;
            options.now = time;
        }
        Aim::At(run, time) => {
            options.run = Some(run);
            options.now = time;
        }
    }
    let compiled = compile(sources, &options);
    diagnostics::print_in_short(&compiled, &pipeline.file);
    if compiled.has_errors() {
        return Err(Failure::silent(USAGE));
    }
    Ok(compiled)
}

/// Checks one file; nothing is printed yet.
pub(crate) fn checked(file: &Path, params: &Params) -> Result<Compiled, Failure> {
    let sources = sources(file)?;
    let reader = Imports::of(file);
    let read = |path: &str| reader.read(path);
    Ok(check(sources, &options(params, &read)?))
}

/// Applies the fixes of one file, and returns its text before; nothing is written yet.
pub(crate) fn repaired(file: &Path, params: &Params) -> Result<(String, Repaired), Failure> {
    let text = read(file)?;
    let reader = Imports::of(file);
    let read = |path: &str| reader.read(path);
    let options = options(params, &read)?;
    let repaired = repair(&source_name(file), text.clone(), &options);
    Ok((text, repaired))
}

/// Reads what a root file imports, as compiling it does.
pub(crate) fn import(root: &Path, path: &str) -> Result<String, String> {
    Imports::of(root).read(path)
}

fn options<'a>(
    params: &Params,
    read: &'a dyn Fn(&str) -> Result<String, String>,
) -> Result<Options<'a>, Failure> {
    let mut options = Options::at(jiff::Timestamp::now());
    options.set = params.set.clone();
    options.params = parameters(params)?;
    options.read_import = read;
    Ok(options)
}

fn sources(file: &Path) -> Result<Sources, Failure> {
    let mut sources = Sources::default();
    sources.add(source_name(file), read(file)?);
    Ok(sources)
}

/// Whether a file is standard input: `-`, or `/dev/stdin`.
pub(crate) fn is_stdin(file: &Path) -> bool {
    file == Path::new("-") || file == Path::new("/dev/stdin")
}

/// Reads a text file, or standard input.
pub(crate) fn read(file: &Path) -> Result<String, Failure> {
    let bytes = if is_stdin(file) {
        bounded(std::io::stdin().lock())
    } else {
        regular(file)
    };
    let shown = file.display();
    let bytes = bytes.map_err(|problem| match problem {
        Unreadable::Missing => {
            let failure = Failure::new(NOT_FOUND, format!("{shown}: no such file"));
            let meant = file.with_extension("kon");
            match file.extension().is_none() && meant.is_file() {
                true => failure.help(format!("name {}", meant.display())),
                false => failure,
            }
        }
        Unreadable::Folder => {
            let failure = Failure::new(USAGE, format!("{shown}: this is a folder"));
            match pipeline_in(file) {
                Some(inside) => failure.help(format!("name a file, such as {}", inside.display())),
                None => failure.help("name a pipeline file"),
            }
        }
        Unreadable::Special => Failure::new(USAGE, format!("{shown}: {problem}"))
            .help("name a file, or `-` for standard input"),
        Unreadable::TooLarge | Unreadable::Other(_) => {
            Failure::new(USAGE, format!("{shown}: {problem}"))
        }
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message = format!("{shown}: byte {at} is not UTF-8");
        Failure::new(USAGE, message).help("save the file as UTF-8")
    })
}

/// Reads a regular file; standard input has no name here.
pub(crate) fn regular_text(file: &Path) -> Option<String> {
    String::from_utf8(regular(file).ok()?).ok()
}

/// Why a file is not read.
#[derive(Debug)]
enum Unreadable {
    Missing,
    Folder,
    /// A device, a named pipe or a socket: it may never end, or never begin.
    Special,
    TooLarge,
    Other(std::io::Error),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => out.write_str("no such file"),
            Self::Folder => out.write_str("this is a folder"),
            Self::Special => out.write_str("this is not a regular file"),
            Self::TooLarge => {
                let max = FILE_BYTES_MAX / (1024 * 1024);
                write!(out, "this is larger than {max} MiB")
            }
            Self::Other(error) => error.fmt(out),
        }
    }
}

impl From<std::io::Error> for Unreadable {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::Missing,
            std::io::ErrorKind::IsADirectory => Self::Folder,
            _ => Self::Other(error),
        }
    }
}

/// Reads a regular file. What else has a name is not even opened for reading: a pipe would wait for
/// a writer.
fn regular(file: &Path) -> Result<Vec<u8>, Unreadable> {
    let opened = platform::open_at_once(file)?;
    let metadata = opened.metadata()?;
    if metadata.is_dir() {
        return Err(Unreadable::Folder);
    }
    if !metadata.is_file() {
        return Err(Unreadable::Special);
    }
    if metadata.len() > FILE_BYTES_MAX as u64 {
        return Err(Unreadable::TooLarge);
    }
    bounded(opened)
}

/// Reads as much as a file may have.
fn bounded(from: impl Read) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    let max = FILE_BYTES_MAX as u64;
    from.take(max + 1).read_to_end(&mut bytes)?;
    match bytes.len() > FILE_BYTES_MAX {
        true => Err(Unreadable::TooLarge),
        false => Ok(bytes),
    }
}

/// The first pipeline file in a folder.
fn pipeline_in(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_pipeline = |path: &PathBuf| path.extension().is_some_and(|end| end == "kon");
    paths.filter(is_pipeline).min()
}

fn parameters(params: &Params) -> Result<Map<String, Value>, Failure> {
    let Some(file) = &params.params else {
        return Ok(Map::new());
    };
    let text = read(file)?;
    let read: Result<Value, _> = serde_saphyr::from_str(&text);
    match read {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(
            Failure::usage(format!("{}: it is not a map", file.display()))
                .help("write one parameter on each line, as in `day: 2026-01-31`"),
        ),
        Err(error) => {
            let file = file.display();
            Err(match placed::parse_all(&text) {
                Err(error) => {
                    let line = error.at.map(|at| format!(":{}", at.line()));
                    let line = line.unwrap_or_default();
                    Failure::usage(format!("{file}{line}: this is not YAML: {}", error.problem))
                }
                Ok(_) => Failure::usage(format!("{file}: {error}")),
            })
        }
    }
}

/// The folder of the root file: imports do not leave it.
struct Imports {
    folder: PathBuf,
}

impl Imports {
    fn of(file: &Path) -> Self {
        Self {
            folder: file.parent().unwrap_or(Path::new("")).to_owned(),
        }
    }

    fn read(&self, path: &str) -> Result<String, String> {
        let inside = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !inside {
            return Err(format!("{path} is outside of the pipeline's folder"));
        }
        let folder = match self.folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => &self.folder,
        };
        let resolved = |path: &Path| path.canonicalize().map_err(Unreadable::from);
        let paths = resolved(folder).and_then(|folder| Ok((resolved(&folder.join(path))?, folder)));
        let (file, folder) = paths.map_err(|problem| problem.to_string())?;
        // A link may lead anywhere, and messages show lines of the file.
        if !file.starts_with(&folder) {
            return Err("a symbolic link leads out of the pipeline's folder".to_owned());
        }
        if file.extension().is_none_or(|extension| extension != "kon") {
            return Err("a symbolic link leads to what is no `.kon` file".to_owned());
        }
        let bytes = regular(&file).map_err(|problem| problem.to_string())?;
        String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::fs::Mode;

    use super::*;

    #[test]
    fn only_regular_files_are_read_and_none_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe.kon");
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let large = folder.path().join("large.kon");
        let sparse = File::create(&large).unwrap();
        sparse.set_len(FILE_BYTES_MAX as u64 + 1).unwrap();
        let table = [
            (pipe.as_path(), "this is not a regular file"),
            (Path::new("/dev/zero"), "this is not a regular file"),
            (&large, "this is larger than 20 MiB"),
            (folder.path(), "this is a folder"),
            (&folder.path().join("no.kon"), "no such file"),
        ];
        for (file, expected) in table {
            assert_eq!(regular(file).unwrap_err().to_string(), expected);
        }
        let endless = bounded(std::io::repeat(b'x'));
        assert!(matches!(endless, Err(Unreadable::TooLarge)));
    }

    #[test]
    fn an_import_stays_in_the_folder_whatever_links_say() {
        let outside = tempfile::tempdir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (outside, inside) = (outside.path(), folder.path());
        std::fs::write(outside.join("secret.kon"), "secret").unwrap();
        std::fs::write(inside.join("notes.txt"), "notes").unwrap();
        std::fs::create_dir(inside.join("lib")).unwrap();
        std::fs::write(inside.join("lib/real.kon"), "real").unwrap();
        let link = |to: &Path, name: &str| {
            std::os::unix::fs::symlink(to, inside.join(name)).unwrap();
        };
        link(&outside.join("secret.kon"), "link.kon");
        link(Path::new("/etc/passwd"), "passwd.kon");
        link(outside, "folder");
        link(&inside.join("notes.txt"), "notes.kon");
        link(&inside.join("lib/real.kon"), "same.kon");
        let imports = Imports::of(&inside.join("pipeline.kon"));
        let out = "a symbolic link leads out of the pipeline's folder";
        let table = [
            ("lib/real.kon", Ok("real")),
            ("same.kon", Ok("real")),
            ("link.kon", Err(out)),
            ("passwd.kon", Err(out)),
            ("folder/secret.kon", Err(out)),
            (
                "notes.kon",
                Err("a symbolic link leads to what is no `.kon` file"),
            ),
            ("no.kon", Err("no such file")),
        ];
        for (path, expected) in table {
            let text = imports.read(path);
            let text = text.as_deref().map_err(String::as_str);
            assert_eq!(text, expected, "{path}");
        }
    }
}
