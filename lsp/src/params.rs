//! The parameters of requests of which only a little is used.
//!
//! What enters: what an editor sends. What leaves: what is read of it. What must never happen here: a refusal
//! because of a part that nobody reads; editors send hundreds of their capabilities, and new ones.

use gen_lsp_types::{CodeActionKind, Range, TextDocumentIdentifier, Uri, WorkspaceFolder};
use serde::Deserialize;

/// Of `initialize`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Initialize {
    capabilities: Client,
    pub(crate) workspace_folders: Option<Vec<WorkspaceFolder>>,
    /// What older editors send instead of folders.
    pub(crate) root_uri: Option<Uri>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Client {
    general: Option<General>,
    workspace: Option<Workspace>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct General {
    position_encodings: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Workspace {
    did_change_watched_files: Option<Registered>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Registered {
    dynamic_registration: Option<bool>,
}

impl Initialize {
    /// Whether columns may count bytes.
    pub(crate) fn takes_utf8(&self) -> bool {
        let general = self.capabilities.general.as_ref();
        let encodings = general.and_then(|general| general.position_encodings.as_ref());
        encodings.is_some_and(|encodings| encodings.iter().any(|encoding| encoding == "utf-8"))
    }

    /// Whether the editor can report changes of files on disk.
    pub(crate) fn watches(&self) -> bool {
        let workspace = self.capabilities.workspace.as_ref();
        let watched = workspace.and_then(|workspace| workspace.did_change_watched_files.as_ref());
        watched.and_then(|watched| watched.dynamic_registration) == Some(true)
    }
}

/// Of `textDocument/codeAction`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CodeAction {
    pub(crate) text_document: TextDocumentIdentifier,
    pub(crate) range: Range,
    pub(crate) context: CodeActionContext,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CodeActionContext {
    pub(crate) only: Option<Vec<CodeActionKind>>,
}

/// Of what is asked about a whole file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    pub(crate) text_document: TextDocumentIdentifier,
}
