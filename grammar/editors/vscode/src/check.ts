// The command that checks every pipeline of the workspace, open or not.
import { dirname } from 'node:path';
import * as vscode from 'vscode';
import { run } from './koncli';
import { type Finding, findings } from './report';

const SEVERITIES: Record<Finding['severity'], vscode.DiagnosticSeverity> = {
  error: vscode.DiagnosticSeverity.Error,
  warning: vscode.DiagnosticSeverity.Warning,
  note: vscode.DiagnosticSeverity.Information,
};

/** Checks all files, and lists what is wrong among the problems. Returns the number of files. */
export async function check(path: string, problems: vscode.DiagnosticCollection): Promise<number> {
  await vscode.workspace.saveAll(false);
  const uris = await vscode.workspace.findFiles('**/*.kon', '**/{node_modules,target}/**');
  const first = uris[0];
  problems.clear();
  if (!first) return 0;
  const files = uris.map(uri => uri.fsPath);
  const ended = await run({ path, args: ['check', '--output', 'json', '--', ...files], folder: dirname(first.fsPath) });
  // A file that can't be read ends it before it has a report.
  if (!ended.stdout) throw new Error(ended.stderr.trim());
  // The language server reports what is wrong in the files that are open.
  const open = new Set(vscode.workspace.textDocuments.map(document => document.fileName));
  const found = new Map<string, vscode.Diagnostic[]>();
  for (const finding of findings(ended.stdout, await lines(files))) {
    if (open.has(finding.file)) continue;
    const diagnostic = new vscode.Diagnostic(
      new vscode.Range(...finding.range),
      finding.message,
      SEVERITIES[finding.severity],
    );
    diagnostic.source = 'koncli';
    diagnostic.code = finding.code;
    found.set(finding.file, [...(found.get(finding.file) ?? []), diagnostic]);
  }
  for (const [file, diagnostics] of found) problems.set(vscode.Uri.file(file), diagnostics);
  return files.length;
}

/** The lines of the files, for places. */
async function lines(files: readonly string[]): Promise<(file: string, line: number) => string | undefined> {
  const texts = new Map<string, string[]>();
  for (const file of files) {
    const bytes = await vscode.workspace.fs.readFile(vscode.Uri.file(file));
    texts.set(file, new TextDecoder().decode(bytes).split('\n'));
  }
  return (file, line) => texts.get(file)?.[line];
}
