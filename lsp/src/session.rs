//! One editor's session: its open files, and the answers to its requests.
//!
//! What enters: notifications and requests, by method. What leaves: answers, and the diagnostics that
//! changed. What must never happen here: reading or writing messages, which the loop does.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use gen_lsp_types::{
    CodeActionKind, CodeActionOptions, CodeActionProvider, CodeLensOptions, CompletionOptions,
    Diagnostic, DidChangeTextDocumentParams, DidChangeWorkspaceFoldersParams,
    DidCloseTextDocumentParams, DidOpenTextDocumentParams, InitializeResult, InlayHintParams,
    Position, PositionEncodingKind, PublishDiagnosticsParams, ReferenceParams, RenameOptions,
    RenameParams, RenameProvider, SemanticTokens, SemanticTokensOptions, SemanticTokensProvider,
    ServerCapabilities, ServerInfo, SignatureHelpOptions, TextDocumentContentChangeEvent,
    TextDocumentPositionParams, TextDocumentSync, TextDocumentSyncKind, TextDocumentSyncOptions,
    WorkspaceFolder, WorkspaceSymbolParams,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::analysis::Analysis;
use crate::answer::{
    action, completion, diagnostic, fold, hint, hover, layout, lens, place, rename, signature,
    symbol, token,
};
use crate::params;
use crate::position::Encoding;
use crate::uri;
use crate::world::{Disk, Document, World};

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such method.
    Unknown,
    /// The parameters are not those of the method.
    Parameters(String),
    /// What was asked for can't be done: why, in a few words.
    Impossible(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => out.write_str("the server does not have this method"),
            Self::Parameters(problem) => write!(out, "the parameters can't be read: {problem}"),
            Self::Impossible(problem) => out.write_str(problem),
        }
    }
}

/// One editor's session.
pub struct Session {
    world: World,
    /// What the editor shows, and of which version of a file.
    published: BTreeMap<PathBuf, (Option<i32>, Vec<Diagnostic>)>,
    /// Whether the editor can report changes of files on disk.
    is_client_watching: bool,
    /// Whether anything changed since it was published.
    is_stale: bool,
}

impl Session {
    /// A session in which nothing is open.
    pub fn new(disk: Box<dyn Disk>) -> Self {
        Self {
            world: World::new(disk),
            published: BTreeMap::new(),
            is_client_watching: false,
            is_stale: false,
        }
    }

    /// Begins the session; returns what the server can do.
    ///
    /// # Errors
    /// If the parameters can't be read.
    pub fn initialize(&mut self, params: Value) -> Result<Value, Refusal> {
        let params: params::Initialize = read(params)?;
        self.is_client_watching = params.watches();
        if params.takes_utf8() {
            self.world.encoding = Encoding::Utf8;
        }
        self.world.folders = match params.workspace_folders {
            Some(folders) => paths(&folders).collect(),
            None => params.root_uri.iter().map(uri::path).collect(),
        };
        answer(&InitializeResult {
            capabilities: capabilities(self.world.encoding),
            server_info: Some(ServerInfo {
                name: "koncli".to_owned(),
                version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            }),
        })
    }

    /// Whether the editor can report changes of files on disk.
    pub fn is_client_watching(&self) -> bool {
        self.is_client_watching
    }

    /// Takes a notification. One that can't be read is ignored: nobody waits for an answer.
    pub fn notify(&mut self, method: &str, params: Value) {
        let changed = match method {
            "textDocument/didOpen" => read(params).map(|params| self.did_open(params)),
            "textDocument/didChange" => read(params).map(|params| self.did_change(params)),
            "textDocument/didClose" => read(params).map(|params| self.did_close(&params)),
            "textDocument/didSave" | "workspace/didChangeWatchedFiles" => {
                self.world.forget();
                Ok(())
            }
            "workspace/didChangeWorkspaceFolders" => {
                read(params).map(|params| self.did_change_folders(&params))
            }
            _ => return,
        };
        self.is_stale |= changed.is_ok();
    }

    fn did_change_folders(&mut self, params: &DidChangeWorkspaceFoldersParams) {
        let removed: Vec<PathBuf> = paths(&params.event.removed).collect();
        let folders = &mut self.world.folders;
        folders.retain(|folder| !removed.contains(folder));
        folders.extend(paths(&params.event.added));
    }

    fn did_open(&mut self, params: DidOpenTextDocumentParams) {
        let opened = params.text_document;
        let document = Document {
            text: opened.text.into(),
            version: opened.version,
            uri: opened.uri,
        };
        self.world.set(&uri::path(&document.uri), Some(document));
    }

    fn did_change(&mut self, params: DidChangeTextDocumentParams) {
        let path = uri::path(&params.text_document.text_document_identifier.uri);
        let version = params.text_document.version;
        for change in params.content_changes {
            let (range, text) = match change {
                TextDocumentContentChangeEvent::TextDocumentContentChangePartial(part) => {
                    (Some(part.range), part.text)
                }
                TextDocumentContentChangeEvent::TextDocumentContentChangeWholeDocument(whole) => {
                    (None, whole.text)
                }
            };
            self.world.change(&path, version, range, &text);
        }
    }

    fn did_close(&mut self, params: &DidCloseTextDocumentParams) {
        self.world.set(&uri::path(&params.text_document.uri), None);
    }

    /// Returns the diagnostics of each file that has others, or a new version.
    pub fn publish(&mut self) -> Vec<PublishDiagnosticsParams> {
        if !std::mem::take(&mut self.is_stale) {
            return Vec::new();
        }
        let mut now = BTreeMap::new();
        for (file, diagnostics) in diagnostic::all(&self.world) {
            let version = self.world.document(&file).map(|document| document.version);
            now.insert(file, (version, diagnostics));
        }
        let mut changed = Vec::new();
        for (file, before) in &self.published {
            if !now.contains_key(file) && !before.1.is_empty() {
                changed.push((file, None, Vec::new()));
            }
        }
        for (file, shown) in &now {
            if self.published.get(file) != Some(shown) {
                changed.push((file, shown.0, shown.1.clone()));
            }
        }
        let changed = changed.into_iter();
        let changed = changed.map(|(file, version, diagnostics)| PublishDiagnosticsParams {
            uri: self.world.uri(file),
            version,
            diagnostics,
        });
        let changed = changed.collect();
        self.published = now;
        changed
    }

    /// Answers a request.
    ///
    /// # Errors
    /// If there is no such method, its parameters can't be read, or what it asks for can't be done.
    pub fn request(&mut self, method: &str, params: Value) -> Result<Value, Refusal> {
        match method {
            "textDocument/hover" => self.at(params, hover::at),
            "textDocument/definition" => self.at(params, |analysis, position| {
                place::definition(&self.world, analysis, position)
            }),
            "textDocument/documentHighlight" => self.at(params, place::highlights),
            "textDocument/completion" => self.at(params, completion::at),
            "textDocument/signatureHelp" => self.at(params, signature::at),
            "textDocument/prepareRename" => self.at(params, rename::prepare),
            "textDocument/documentSymbol" => self.of(params, symbol::outline),
            "textDocument/foldingRange" => self.of(params, fold::all),
            "textDocument/formatting" => self.of(params, layout::all),
            "textDocument/codeLens" => self.of(params, lens::all),
            "textDocument/semanticTokens/full" => self.of(params, |analysis| SemanticTokens {
                result_id: None,
                data: token::all(analysis),
            }),
            "textDocument/inlayHint" => {
                let params: InlayHintParams = read(params)?;
                let analysis = self.world.analysis(&uri::path(&params.text_document.uri));
                answer(&analysis.map(|analysis| hint::within(&analysis, params.range)))
            }
            "textDocument/codeAction" => {
                let params: params::CodeAction = read(params)?;
                let path = uri::path(&params.text_document.uri);
                let only = params.context.only.as_deref();
                answer(&action::at(&self.world, &path, params.range, only))
            }
            "textDocument/references" => {
                let params: ReferenceParams = read(params)?;
                let with_declaration = params.context.include_declaration;
                let params = params.text_document_position_params;
                let path = uri::path(&params.text_document.uri);
                let references =
                    place::references(&self.world, &path, params.position, with_declaration);
                answer(&references)
            }
            "textDocument/rename" => {
                let params: RenameParams = read(params)?;
                let at = params.text_document_position_params;
                let path = uri::path(&at.text_document.uri);
                let renamed = rename::rename(&self.world, &path, at.position, &params.new_name);
                answer(&renamed.map_err(Refusal::Impossible)?)
            }
            "workspace/symbol" => {
                let params: WorkspaceSymbolParams = read(params)?;
                answer(&symbol::search(&self.world, &params.query))
            }
            _ => Err(Refusal::Unknown),
        }
    }

    /// Answers what is asked about a position; a file that can't be read has no answer.
    fn at<T: Serialize>(
        &self,
        params: Value,
        of: impl Fn(&Analysis, Position) -> T,
    ) -> Result<Value, Refusal> {
        let params: TextDocumentPositionParams = read(params)?;
        let analysis = self.world.analysis(&uri::path(&params.text_document.uri));
        answer(&analysis.map(|analysis| of(&analysis, params.position)))
    }

    /// Answers what is asked about a whole file.
    fn of<T: Serialize>(
        &self,
        params: Value,
        of: impl Fn(&Analysis) -> T,
    ) -> Result<Value, Refusal> {
        let params: params::Document = read(params)?;
        let analysis = self.world.analysis(&uri::path(&params.text_document.uri));
        answer(&analysis.map(|analysis| of(&analysis)))
    }
}

fn paths(folders: &[WorkspaceFolder]) -> impl Iterator<Item = PathBuf> + '_ {
    folders.iter().map(|folder| uri::path(&folder.uri))
}

fn read<T: DeserializeOwned>(params: Value) -> Result<T, Refusal> {
    serde_json::from_value(params).map_err(|error| Refusal::Parameters(error.to_string()))
}

fn answer<T: Serialize>(value: &T) -> Result<Value, Refusal> {
    serde_json::to_value(value).map_err(|error| Refusal::Impossible(error.to_string()))
}

/// What the server can do.
fn capabilities(encoding: Encoding) -> ServerCapabilities {
    let triggers = |signs: &[&str]| Some(signs.iter().map(|sign| (*sign).to_owned()).collect());
    ServerCapabilities {
        position_encoding: Some(match encoding {
            Encoding::Utf8 => PositionEncodingKind::UTF8,
            Encoding::Utf16 => PositionEncodingKind::UTF16,
        }),
        text_document_sync: Some(TextDocumentSync::Options(TextDocumentSyncOptions {
            open_close: Some(true),
            change: Some(TextDocumentSyncKind::Incremental),
            save: Some(true.into()),
            ..TextDocumentSyncOptions::default()
        })),
        completion_provider: Some(CompletionOptions {
            trigger_characters: triggers(&[".", "{"]),
            ..CompletionOptions::default()
        }),
        signature_help_provider: Some(SignatureHelpOptions {
            trigger_characters: triggers(&["(", "{", ","]),
            ..SignatureHelpOptions::default()
        }),
        rename_provider: Some(RenameProvider::RenameOptions(RenameOptions {
            prepare_provider: Some(true),
            ..RenameOptions::default()
        })),
        code_action_provider: Some(CodeActionProvider::CodeActionOptions(CodeActionOptions {
            code_action_kinds: Some(vec![CodeActionKind::QuickFix, action::FIX_ALL]),
            ..CodeActionOptions::default()
        })),
        semantic_tokens_provider: Some(SemanticTokensProvider::SemanticTokensOptions(
            SemanticTokensOptions {
                legend: token::legend(),
                full: Some(true.into()),
                ..SemanticTokensOptions::default()
            },
        )),
        code_lens_provider: Some(CodeLensOptions::default()),
        hover_provider: Some(true.into()),
        definition_provider: Some(true.into()),
        references_provider: Some(true.into()),
        document_highlight_provider: Some(true.into()),
        document_symbol_provider: Some(true.into()),
        workspace_symbol_provider: Some(true.into()),
        document_formatting_provider: Some(true.into()),
        folding_range_provider: Some(true.into()),
        inlay_hint_provider: Some(true.into()),
        ..ServerCapabilities::default()
    }
}
