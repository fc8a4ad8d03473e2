//! The files of one pipeline: the root and everything it imports, each read once.
//!
//! What enters: the root file and a way to read others. What leaves: syntax trees, and for each
//! file the templates that it sees. What must never happen here: a path that leaves the root file's
//! folder, and a file that is read twice.

use std::sync::Arc;

use foldhash::HashMap;
use konductor_dsl::{Diagnostic, SourceId, Sources, Span, ast, parse};

use crate::limits::FILES_MAX;
use crate::options::Options;
use crate::rules;

/// All files, the root first.
#[derive(Debug, Default)]
pub(crate) struct Library {
    pub files: Vec<ast::File>,
    /// For each file, what its imports are, in source order.
    imports: Vec<Vec<Option<usize>>>,
    /// For each file, the templates that it sees by name: file and place in it.
    visible: Vec<HashMap<String, (usize, usize)>>,
    /// The text of each source.
    texts: Vec<Arc<str>>,
}

impl Library {
    /// Reads the root file and all that it imports.
    pub(crate) fn load(
        sources: &mut Sources,
        options: &Options<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let Some(root) = sources.iter().next() else {
            return Self::default();
        };
        let folder = root.name.rfind('/').map_or(0, |slash| slash + 1);
        let (folder, path) = root.name.split_at(folder);
        let (folder, path) = (folder.to_owned(), path.to_owned());
        let (file, reported) = parse(root);
        diagnostics.extend(reported);
        let mut loader = Loader {
            folder,
            sources,
            options,
            diagnostics,
            by_path: HashMap::from_iter([(path.clone(), 0)]),
            files: vec![Loaded {
                path,
                ast: file,
                imports: Vec::new(),
            }],
        };
        loader.follow();
        loader.report_cycles();
        loader.report_pipelines();
        let (files, imports): (Vec<_>, Vec<_>) = loader
            .files
            .into_iter()
            .map(|file| (file.ast, file.imports))
            .unzip();
        let mut library = Self {
            files,
            imports,
            visible: Vec::new(),
            texts: sources.iter().map(|source| source.text.clone()).collect(),
        };
        library.index(diagnostics);
        library
    }

    /// What is written at a place.
    pub(crate) fn written(&self, at: Span) -> &str {
        let text = self.texts.get(at.source.0 as usize);
        let written = text.and_then(|text| text.get(at.start as usize..at.end as usize));
        written.unwrap_or_default()
    }

    /// The template of this name that a file sees.
    pub(crate) fn template(&self, from: SourceId, name: &str) -> Option<(usize, usize)> {
        self.visible.get(from.0 as usize)?.get(name).copied()
    }

    /// Whether a file could see a template of this name, had everything been read.
    pub(crate) fn may_have(&self, from: SourceId, name: &str) -> bool {
        let from = from.0 as usize;
        let imports = self.imports.get(from).into_iter().flatten();
        let files = imports.copied().chain([Some(from)]);
        let mut files = files.map(|file| file.and_then(|file| self.files.get(file)));
        // Nobody knows what is in an import that can't be read.
        files.any(|file| {
            file.is_none_or(|file| file.unread.iter().any(|unread| unread.text == name))
        })
    }

    /// The names of all templates that a file sees, in order.
    pub(crate) fn template_names(&self, from: SourceId) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .visible
            .get(from.0 as usize)
            .into_iter()
            .flatten()
            .map(|(n, _)| n.as_str())
            .collect();
        names.sort_unstable();
        names
    }

    /// What the root file imports: the import, and the file.
    pub(crate) fn root_imports(&self) -> impl Iterator<Item = (&ast::Import, usize)> {
        let imports = self
            .files
            .first()
            .map(|file| file.imports.as_slice())
            .unwrap_or_default();
        let files = self.imports.first().into_iter().flatten();
        imports
            .iter()
            .zip(files)
            .filter_map(|(import, file)| Some((import, (*file)?)))
    }

    fn index(&mut self, diagnostics: &mut Vec<Diagnostic>) {
        for (index, file) in self.files.iter().enumerate() {
            let mut visible: HashMap<String, (usize, usize)> = HashMap::default();
            let own = file
                .templates
                .iter()
                .enumerate()
                .map(|(place, t)| (index, place, t));
            let imported = self.imports[index]
                .iter()
                .flatten()
                .filter(|import| **import != index);
            let imported = imported.flat_map(|import| {
                let templates = self.files.get(*import).map(|file| file.templates.iter());
                templates
                    .into_iter()
                    .flatten()
                    .enumerate()
                    .map(|(place, t)| (*import, place, t))
            });
            for (file, place, template) in own.chain(imported) {
                match visible.get(&template.name.text) {
                    Some((first_file, at)) if (*first_file, *at) != (file, place) => {
                        let first = self.files[*first_file].templates[*at].name.span;
                        let reported =
                            rules::duplicate_name::report(&template.name, "template", first);
                        diagnostics.push(reported);
                    }
                    _ => {
                        visible.insert(template.name.text.clone(), (file, place));
                    }
                }
            }
            self.visible.push(visible);
        }
    }
}

/// The files by paths relative to the root file's folder, the root first.
pub(crate) fn relative_files(sources: &Sources) -> Vec<(String, String)> {
    let root = sources
        .iter()
        .next()
        .map(|root| root.name.as_str())
        .unwrap_or_default();
    let folder = root
        .rsplit_once('/')
        .map_or(0, |(folder, _)| folder.len() + 1);
    let files = sources.iter().map(|source| {
        let path = source.name.get(folder..).unwrap_or(&source.name);
        (path.to_owned(), source.text.to_string())
    });
    files.collect()
}

struct Loaded {
    /// Relative to the root file's folder.
    path: String,
    ast: ast::File,
    /// One for each import of the file; `None` where it can't be read.
    imports: Vec<Option<usize>>,
}

struct Loader<'l, 'o> {
    /// The root file's, with a slash at the end.
    folder: String,
    sources: &'l mut Sources,
    options: &'l Options<'o>,
    diagnostics: &'l mut Vec<Diagnostic>,
    by_path: HashMap<String, usize>,
    files: Vec<Loaded>,
}

impl Loader<'_, '_> {
    /// Reads what is imported, file by file, until nothing is left.
    fn follow(&mut self) {
        let mut next = 0;
        while let Some(file) = self.files.get(next) {
            let (path, imports) = (file.path.clone(), file.ast.imports.clone());
            for import in imports {
                let imported = self.import(&path, &import);
                self.files[next].imports.push(imported);
            }
            next += 1;
        }
    }

    fn import(&mut self, from: &str, import: &ast::Import) -> Option<usize> {
        let span = import.path.span;
        let Some(path) = import.path.plain().and_then(|path| normalized(from, &path)) else {
            self.diagnostics.push(rules::bad_import::path(span));
            return None;
        };
        if let Some(index) = self.by_path.get(&path) {
            return Some(*index);
        }
        if self.files.len() >= FILES_MAX {
            self.diagnostics.push(rules::bad_import::too_many(span));
            return None;
        }
        let text = match (self.options.read_import)(&path) {
            Ok(text) => text,
            Err(problem) => {
                self.diagnostics
                    .push(rules::bad_import::unreadable(span, &path, &problem));
                return None;
            }
        };
        let id = self.sources.add(format!("{}{path}", self.folder), text);
        let source = self.sources.get(id)?;
        let (ast, reported) = parse(source);
        self.diagnostics.extend(reported);
        let index = self.files.len();
        self.by_path.insert(path.clone(), index);
        self.files.push(Loaded {
            path,
            ast,
            imports: Vec::new(),
        });
        Some(index)
    }

    /// Reports imports that lead back to the file they are in. Nothing recursive: files can be many.
    fn report_cycles(&mut self) {
        for start in 0..self.files.len() {
            let imports = self.files[start].imports.iter().enumerate();
            // Once for each circle: at the file that was read first.
            let back: Vec<usize> = imports
                .filter_map(|(place, to)| Some((place, (*to)?)))
                .filter(|(_, to)| *to >= start && self.reaches(*to, start))
                .map(|(place, _)| place)
                .collect();
            for place in back {
                let import = &self.files[start].ast.imports[place];
                self.diagnostics
                    .push(rules::import_cycle::report(import.span));
            }
        }
    }

    /// Reports imported files that hold a pipeline, but for those of a circle: one of its imports has to go.
    fn report_pipelines(&mut self) {
        for (index, file) in self.files.iter().enumerate().skip(1) {
            let pipeline = file.ast.pipelines.first();
            let mut imports = file.imports.iter().flatten();
            if !imports.any(|import| self.reaches(*import, index)) {
                self.diagnostics
                    .extend(pipeline.map(rules::one_pipeline::imported));
            }
        }
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        let mut seen = vec![false; self.files.len()];
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            if at == to {
                return true;
            }
            if !std::mem::replace(&mut seen[at], true) {
                open.extend(self.files[at].imports.iter().flatten());
            }
        }
        false
    }
}

/// A path relative to the root's folder, without `.` and `..`; `None` where it is absolute, leaves
/// the folder, or is no path of a file.
fn normalized(from: &str, path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains(['\\', ':', '\0']) || path.ends_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            other => parts.push(other),
        }
    }
    // What is no pipeline file is not even looked into: messages show lines of files.
    let is_pipeline = !parts.last()?.strip_suffix(".kon")?.is_empty();
    is_pipeline.then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use konductor_dsl::Code;

    use super::*;

    #[test]
    fn a_circle_is_reported_once_and_no_file_is_read_twice() {
        let pipeline = "pipeline p { stage s { run = \"true\" } }";
        let imported = format!("import \"main.kon\"\n{pipeline}");
        let read = |path: &str| match path {
            "other.kon" => Ok(imported.clone()),
            _ => Err(format!("{path} is read again")),
        };
        let mut options = Options::at("2026-01-31T02:03:04Z".parse().unwrap());
        options.read_import = &read;
        let mut sources = Sources::default();
        sources.add("jobs/main.kon", format!("import \"other.kon\"\n{pipeline}"));
        let mut diagnostics = Vec::new();
        Library::load(&mut sources, &options, &mut diagnostics);
        let codes: Vec<Code> = diagnostics
            .iter()
            .map(|diagnostic| diagnostic.code)
            .collect();
        assert_eq!(codes, [Code::K0213]);
        assert_eq!(sources.iter().count(), 2);
    }

    #[test]
    fn import_paths_stay_in_the_root_files_folder() {
        let table = [
            ("", "lib/python.kon", Some("lib/python.kon")),
            ("", "./a.kon", Some("a.kon")),
            ("lib/python.kon", "shell.kon", Some("lib/shell.kon")),
            ("lib/python.kon", "../a.kon", Some("a.kon")),
            ("lib/python.kon", "../../a.kon", None),
            ("", "../a.kon", None),
            ("", "lib/../../a.kon", None),
            ("", "/etc/passwd", None),
            ("", "https://example.com/a.kon", None),
            ("", "C:\\a.kon", None),
            ("", "", None),
            ("", "lib/", None),
            ("", ".git/config", None),
            ("", "secrets.env", None),
            ("", ".kon", None),
        ];
        for (from, path, expected) in table {
            assert_eq!(
                normalized(from, path).as_deref(),
                expected,
                "{from}: {path}"
            );
        }
    }
}
