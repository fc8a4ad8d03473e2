// The extension: the language server of koncli, a check of all files, and a preview of the graph.
import * as vscode from 'vscode';
import { LanguageClient, type ServerOptions } from 'vscode-languageclient/node';
import { check } from './check';
import { Graph } from './graph';

let client: LanguageClient | undefined;

/** koncli, as the user settings name it. A workspace can't: the setting is one of the machine. */
function path(): string {
  return vscode.workspace.getConfiguration('konductor').get<string>('path') || 'koncli';
}

/** Starts the language server. Without it files keep their colours, and the message says what is missing. */
async function start(): Promise<void> {
  const server: ServerOptions = { command: path(), args: ['lsp'] };
  client = new LanguageClient('konductor', 'konductor', server, {
    documentSelector: [{ language: 'konductor', scheme: 'file' }, { language: 'konductor', scheme: 'untitled' }],
  });
  try {
    await client.start();
  } catch (error) {
    const settings = 'Open Settings';
    const message = `\`${path()} lsp\` did not start: ${text(error)}. Install koncli, or name it in the settings.`;
    void vscode.window.showErrorMessage(message, settings).then(async answer => {
      if (answer !== settings) return;
      await vscode.commands.executeCommand('workbench.action.openSettings', 'konductor.path');
    });
  }
}

async function stop(): Promise<void> {
  const running = client;
  client = undefined;
  if (running?.needsStop()) await running.stop();
}

async function checkAll(problems: vscode.DiagnosticCollection): Promise<void> {
  try {
    const count = await check(path(), problems);
    const files = count === 1 ? '1 file' : `${count} files`;
    vscode.window.setStatusBarMessage(`konductor: checked ${files}`, 5000);
    if (count > 0) await vscode.commands.executeCommand('workbench.actions.view.problems');
  } catch (error) {
    void vscode.window.showErrorMessage(text(error));
  }
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Called by VS Code when a pipeline is opened. */
export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const problems = vscode.languages.createDiagnosticCollection('koncli');
  context.subscriptions.push(
    problems,
    vscode.commands.registerCommand('konductor.check', () => checkAll(problems)),
    vscode.commands.registerCommand('konductor.graph', () => {
      const document = vscode.window.activeTextEditor?.document;
      if (document?.languageId === 'konductor') Graph.show(document, path);
    }),
    vscode.commands.registerCommand('konductor.restart', async () => {
      await stop();
      await start();
    }),
    // What was found by the command is out of date once the file is open.
    vscode.workspace.onDidOpenTextDocument(document => problems.delete(document.uri)),
    vscode.workspace.onDidChangeConfiguration(async change => {
      if (!change.affectsConfiguration('konductor.path')) return;
      await stop();
      await start();
    }),
  );
  await start();
}

/** Called by VS Code when it closes. */
export async function deactivate(): Promise<void> {
  await stop();
}
