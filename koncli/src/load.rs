//! Reading a pipeline file, what it imports, and its parameters.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use konductor_compiler::{Compiled, Options, check, compile};
use konductor_dsl::Sources;
use serde_json::{Map, Value};

use crate::arguments::{Params, Pipeline};
use crate::diagnostics;
use crate::exit::{Failure, NOT_FOUND, USAGE};

/// What a pipeline is compiled for.
#[derive(Clone, Debug)]
pub(crate) enum Aim {
    /// What `koncli apply` creates: a run, or the schedule where there is one and no run is named.
    Apply,
    /// One run, although there may be a schedule.
    Once,
    /// The run of a slot.
    Slot(Timestamp),
    /// A run by that name, as if it was that time.
    At(String, Timestamp),
}

/// Compiles the pipeline; diagnostics are told on stderr, and errors among them end the command.
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
    match aim {
        Aim::Apply => {}
        Aim::Once => options.once = true,
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
    diagnostics::tell(&compiled);
    if compiled.has_errors() {
        return Err(Failure::silent(USAGE));
    }
    Ok(compiled)
}

/// Checks one file; nothing is told yet.
pub(crate) fn checked(file: &Path, params: &Params) -> Result<Compiled, Failure> {
    let sources = sources(file)?;
    let reader = Imports::of(file);
    let read = |path: &str| reader.read(path);
    Ok(check(sources, &options(params, &read)?))
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
    sources.add(file.display().to_string(), read(file)?);
    Ok(sources)
}

/// Reads a text file; `-` is standard input.
pub(crate) fn read(file: &Path) -> Result<String, Failure> {
    let bytes = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    let shown = file.display();
    let bytes = bytes.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::new(NOT_FOUND, format!("{shown}: there is no such file"))
        }
        std::io::ErrorKind::IsADirectory => {
            let failure = Failure::new(USAGE, format!("{shown}: this is a folder"));
            match pipeline_in(file) {
                Some(inside) => failure.help(format!("name a file, such as {}", inside.display())),
                None => failure.help("name a pipeline file"),
            }
        }
        _ => Failure::new(USAGE, format!("{shown}: {error}")),
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message = format!("{shown}: byte {at} is not UTF-8");
        Failure::new(USAGE, message).help("save the file as UTF-8")
    })
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
        Err(error) => Err(Failure::usage(format!("{}: {error}", file.display()))),
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
        let file = self.folder.join(path);
        let bytes = std::fs::read(&file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            _ => format!("{}: {error}", file.display()),
        })?;
        String::from_utf8(bytes).map_err(|_| format!("{}: it is not UTF-8", file.display()))
    }
}
